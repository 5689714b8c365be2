#include "atom/engine/engine_args.hpp"

#include <algorithm>

#include "atom/core/error.hpp"
#include "atom/engine/block_manager.hpp"
#include "atom/engine/executor.hpp"
#include "atom/engine/memory.hpp"
#include "atom/engine/proposer.hpp"
#include "atom/engine/settings.hpp"

namespace atom::engine {

namespace {

constexpr int page = kernels::page_tokens;
constexpr int longest_by_default = 8192;
using Level = CompilationLevel;

[[noreturn]] void refuse(const std::string& field, const std::string& why) { throw Error(field + ": " + why); }

/// Every dimension is a constant of the program.
bool specialised(const Variant& v) {
  const model::ModelSpec& s = *v.spec;
  const auto holes = {s.d_model,       s.d_ff,
                      s.vocab,         s.layers,
                      s.attn.heads,    s.attn.kv_heads,
                      s.attn.head_dim, s.attn.qkv_bias,
                      s.attn.o_bias,   s.mlp_bias,
                      s.moe.experts,   s.moe.top_k,
                      s.moe.d_ff,      s.moe.renormalise,
                      s.moe.groups,    s.moe.top_groups,
                      s.moe.shared,    s.attn.latent.q_rank,
                      s.attn.window,   v.tp};
  return std::ranges::find(holes, dynamic) == holes.end();
}

/// A recorded step has constants for dimensions and for its memory plan, whatever the build left open.
int highest_level(const Variant& v) {
  if (v.device->graphs) return Level::PIECEWISE;
  return specialised(v) ? Level::DYNAMO_ONCE : Level::NO_COMPILATION;
}

void decide_level(Config& c, const Variant& v) {
  int& level = c.compilation_config.level;
  const int most = highest_level(v);
  if (level > most || ((level == Level::DYNAMO_AS_IS || level == Level::DYNAMO_ONCE) && !specialised(v)))
    refuse("level", std::to_string(level) + " needs a program made for this model: atom build --model DIR -o PROGRAM; " + v.name +
                        " runs any model of its kind, at level " + std::to_string(most));
  if (level < 0) level = c.enforce_eager ? Level::NO_COMPILATION : most;
}

void decide_graphs(Config& c) {
  CompilationConfig& k = c.compilation_config;
  if (!k.cudagraph_mode) k.cudagraph_mode = k.level == Level::PIECEWISE ? CUDAGraphMode::FULL : CUDAGraphMode::NONE;
  if (c.enforce_eager || !k.use_cudagraph) k.cudagraph_mode = CUDAGraphMode::NONE;
  if (*k.cudagraph_mode == CUDAGraphMode::NONE) {
    for (const auto& [sizes, field] :
         {std::pair{&k.cudagraph_capture_sizes, "cudagraph_capture_sizes"}, std::pair{&k.cuda_graph_sizes, "cuda_graph_sizes"}})
      if (!sizes->empty()) c.warnings.push_back(std::string(field) + ": has no effect, because no graphs are recorded here");
    return;
  }
  std::string warning;
  if (k.cudagraph_mode->requires_piecewise_compilation())
    c.piece_tokens = capture_sizes(k, c.max_num_batched_tokens, c.max_num_batched_tokens, 1, warning);
  if (k.cudagraph_mode->decode_mode() == CUDAGraphMode::FULL)
    c.graph_bs = capture_sizes(k, c.max_num_seqs, c.max_num_batched_tokens, 1, warning);
  if (!warning.empty()) c.warnings.push_back(std::move(warning));
  c.batch_buckets.assign(c.graph_bs.rbegin(), c.graph_bs.rend());
}

/// Blocks that fit beside everything else. A few huge pages are lost to rounding, of every allocation of every rank.
std::size_t blocks_that_fit(const Config& c, const MemoryUse& one_page) {
  const MemoryUse& m = one_page;
  const std::size_t rope = m.rope_table / page * static_cast<std::size_t>(c.max_model_len);
  const std::size_t rounding = Block::rounded(1) * (4 * static_cast<std::size_t>(c.tensor_parallel_size) + 4);
  const std::size_t others = m.weights + m.states + m.activations + m.thread_scratch + m.sampling + rope + rounding;
  return c.memory_limit > others ? (c.memory_limit - others) / std::max<std::size_t>(m.kv_cache, 1) : 0;
}

/// A cache for all sequences at full length, as far as memory goes; for one sequence at the least, so that the executor says what
/// is too much when not even that fits.
void decide_blocks(Config& c, const MemoryUse& one_page, bool length_given) {
  if (c.num_kvcache_blocks == 0) refuse("num_kvcache_blocks", "must be positive, or -1: what fits");
  if (c.num_kvcache_blocks > 0) {
    const int room = std::min(c.num_kvcache_blocks, (1 << 30) / page) * page;
    if (!length_given) c.max_model_len = std::min(c.max_model_len, room);
    return;
  }
  const std::size_t fit = blocks_that_fit(c, one_page);
  const auto spare = static_cast<std::size_t>(!c.batch_buckets.empty());  // padding writes to a block of its own
  if (const std::size_t room = fit > spare ? (fit - spare) * page : 0;
      !length_given && room >= 512 && room < static_cast<std::size_t>(c.max_model_len)) {
    c.warnings.push_back("max_model_len: " + std::to_string(room) + " instead of " + std::to_string(c.max_model_len) +
                         ", because the memory that gpu_memory_utilization leaves has room for no more");
    c.max_model_len = static_cast<int>(room);
  }
  const auto one = static_cast<std::size_t>(blocks_for(c.max_model_len)), most = one * static_cast<std::size_t>(c.max_num_seqs);
  c.num_kvcache_blocks = static_cast<int>(std::min<std::size_t>(std::clamp(fit, one + spare, most + spare), (1 << 30) / page));
}

}  // namespace

void check_graphs(const CompilationConfig& wanted, const DeviceKind& device) {
  const std::string runs_on = "; this program runs on " + std::string(device.backend) + ": ";
  if (wanted.level == Level::PIECEWISE && !device.graphs)
    refuse("level", "3 needs device graphs, and so a device back end" + runs_on + "at most " + std::to_string(Level::DYNAMO_ONCE));
  const CUDAGraphMode asked = wanted.cudagraph_mode.value_or(CUDAGraphMode::NONE);
  if (asked != CUDAGraphMode::NONE && !device.graphs)
    refuse("cudagraph_mode", std::string(asked.name()) + " needs a device back end" + runs_on + "use NONE, or leave it out");
}

EngineArgs default_args(const Registry& builds) {
  EngineArgs args;
  if (builds.variants().size() != 1) return args;
  const Variant& only = builds.variants().front();
  args.backend = only.backend;
  args.quant = only.quant;
  args.activation = only.act == DType::f32 ? "f32" : "bf16";
  if (only.tp != dynamic) args.tensor_parallel_size = only.tp;
  if (only.ep != dynamic) args.enable_expert_parallel = only.ep > 1;
  return args;
}

ExecutorOptions model_options(const EngineArgs& a) {
  ExecutorOptions o;
  o.model_dir = a.model;
  o.backend = a.backend;
  o.act = a.activation == "f32" ? DType::f32 : DType::bf16;
  o.quant = a.quant;
  o.kv = a.kv_cache_dtype == "fp8_e4m3" ? "fp8" : a.kv_cache_dtype;
  o.dummy = a.load_dummy;
  o.gemm = a.gpu_gemm;
  o.tensor_parallel_size = a.tensor_parallel_size;
  o.expert_parallel = a.enable_expert_parallel;
  o.threads = a.threads;
  o.cpu_mask = a.cpu_mask;
  return o;
}

ExecutorOptions executor_options(const Config& c) {
  ExecutorOptions o = model_options(c);
  o.max_rows = c.max_num_batched_tokens;
  o.max_seqs = c.max_num_seqs;
  o.max_logits = logit_rows(c);
  o.context_tokens = c.num_kvcache_blocks > 0 ? c.num_kvcache_blocks * page : page;
  o.max_model_len = c.max_model_len;
  o.draft_layers = draft_layers(c.speculative_config);
  o.memory_limit = c.memory_limit;
  o.graph_sizes = c.graph_bs;
  o.piece_sizes = c.piece_tokens;
  return o;
}

Config resolve(const EngineArgs& args, const Registry& builds) {
  check(args);
  if (args.model.empty()) refuse("model", "none is given; name a directory with config.json");
  Config c;
  static_cast<EngineArgs&>(c) = args;
  c.hf_config = read_config(c.model);
  c.generation_config = read_generation_config(c.model, c.hf_config);
  c.torch_dtype = c.hf_config.dtype;
  c.quant_config = c.quant;
  c.parallel_config.world_size = c.tensor_parallel_size;
  if (c.eos_token_ids.empty()) c.eos_token_ids = c.generation_config.eos_token_ids;
  if (c.eos_token_id >= 0) c.eos_token_ids = {c.eos_token_id};
  c.eos_token_ids.insert(c.eos_token_ids.end(), c.stop_token_ids.begin(), c.stop_token_ids.end());

  const int positions = c.hf_config.numbers.max_position;
  c.max_model_len = std::min(args.max_model_len > 0 ? args.max_model_len : longest_by_default, positions);
  ExecutorOptions plan = executor_options(c);
  plan.dry = true;
  plan.context_tokens = page;
  const Executor dry(plan, builds);
  c.build = dry.build().name;
  if (c.speculative_config.method.empty() && c.speculative_config != SpeculativeConfig())
    c.warnings.emplace_back("speculative_config: has no effect without a method; name one, ngram or mtp");
  if (c.enable_prefix_caching && !dry.rewinds())
    c.warnings.emplace_back(
        "enable_prefix_caching: off, because this model carries a state from token to token, and no page holds it");
  c.memory_limit = static_cast<std::size_t>(static_cast<double>(dry.available_memory()) * c.gpu_memory_utilization);
  check_graphs(c.compilation_config, *dry.build().device);
  decide_level(c, dry.build());
  decide_graphs(c);
  c.kv_cache_dtype = dry.build().kv;
  decide_blocks(c, dry.memory(), args.max_model_len > 0);
  static_cast<EngineConfig&>(c) =
      resolve(static_cast<const EngineConfig&>(c), ModelLimits{.vocab = dry.vocab(),
                                                               .max_position = c.max_model_len,
                                                               .context_tokens = c.num_kvcache_blocks * page,
                                                               .max_rows = std::max(c.max_num_batched_tokens, c.max_num_seqs),
                                                               .max_seqs = c.max_num_seqs,
                                                               .max_logits = logit_rows(c),
                                                               .rewinds = dry.rewinds()});
  return c;
}

}  // namespace atom::engine
