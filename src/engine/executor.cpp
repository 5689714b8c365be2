#include "atom/engine/executor.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <optional>
#include <sched.h>
#include <utility>

#include "atom/core/cpu_features.hpp"
#include "atom/core/error.hpp"
#include "atom/engine/loader.hpp"
#include "atom/engine/rank_team.hpp"
#include "atom/engine/system_memory.hpp"
#include "atom/ops/attention_cpu.hpp"
#include "atom/ops/linear_cpu.hpp"
#include "atom/ops/rope_table.hpp"

namespace atom::engine {

namespace {

struct RankState {
  std::unique_ptr<ThreadPool> pool;
  ThreadComm comm;
  std::unique_ptr<AnyModel> model;
  model::ParamTable parameters;
  std::size_t kv_bytes = 0, scratch_bytes = 0;
  kernels::LinearScratch kernel_scratch{};
  Block weights, kv, scratch;
};

int usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

// The run-time half of model::check: what a specialised build refuses to compile, a universal build refuses to load.
void check_ranks(const model::ModelSpec& s, int tp) {
  const auto refuse = [&](const std::string& why) { throw Error("--tensor-parallel-size " + std::to_string(tp) + ": " + why); };
  if (tp < 1 || tp > 64) refuse("must be between 1 and 64");
  if (s.attn.heads % tp != 0) refuse("must divide the model's " + std::to_string(s.attn.heads) + " attention heads");
  if (s.attn.kv_heads % tp != 0 && tp % s.attn.kv_heads != 0)
    refuse("must divide the model's " + std::to_string(s.attn.kv_heads) + " KV heads, or be a multiple of them");
  if (s.d_ff % tp != 0) refuse("must divide intermediate_size " + std::to_string(s.d_ff));
}

Dummy dummy_of(const std::string& name) {
  constexpr std::string_view names[] = {"none", "empty", "zero", "random"};
  const auto* at = std::ranges::find(names, name);
  if (at == std::end(names)) throw Error("--load-dummy: " + name + " is unknown; use empty, zero or random");
  return static_cast<Dummy>(at - names);
}

// What the Cpu kernels need of a pool, whatever the batch.
kernels::LinearScratch kernel_scratch(const model::ModelSpec& local) {
  auto scratch = kernels::linear_scratch(std::max({local.d_model, local.d_ff, model::size(local, model::Axis::q)}));
  scratch.thread = std::max(scratch.thread, attention_scratch_bytes(local.attn.heads, local.attn.kv_heads, local.attn.head_dim));
  return scratch;
}

// The step that needs the most scratch: every temporary grows with rows and logits.
Batch largest_batch(const ExecutorOptions& options) {
  static constexpr int some_row = 0;
  Batch b;
  b.rows = options.max_rows;
  b.seqs = options.max_seqs;
  b.logits = options.max_logits;
  b.logit_rows = &some_row;  // present: gathering is part of the plan
  return b;
}

std::string mib(std::size_t bytes) { return std::to_string((bytes + (std::size_t{1} << 20) - 1) >> 20) + " MiB"; }

// The plan as a message, and what would make it fit. `taken`: bytes in all.
[[noreturn]] void refuse(const std::string& model_dir, const MemoryUse& m, std::size_t taken, std::size_t limit, int context,
                         int ranks, bool quantised) {
  const auto line = [](const char* what, std::size_t bytes) { return "\n  " + std::string(what) + mib(bytes); };
  std::string text = model_dir + ": memory: " + mib(taken) + " are needed, this process may take " + mib(limit) + ":";
  text += line("weights         ", m.weights);
  text += line("KV cache        ", m.kv_cache) + " for " + std::to_string(context) + " tokens";
  text += line("activations     ", m.activations);
  text += line("thread scratch  ", m.thread_scratch) + line("sampling        ", m.sampling);
  text += line("rope table      ", m.rope_table);
  if (m.weights_in_file > 0) text += line("not counted     ", m.weights_in_file) + " of weights that stay in the mapped file";
  text += "\n";
  // Rounding to huge pages may cost each rank one more.
  const std::size_t others = taken - m.kv_cache + Block::rounded(1) * static_cast<std::size_t>(ranks), page = kernels::page_tokens;
  const std::size_t fit = limit > others ? (limit - others) / (m.kv_cache / static_cast<std::size_t>(context)) / page * page : 0;
  if (fit >= page)
    text += "a cache of " + std::to_string(fit) + " tokens would fit: lower --max-model-len or --num-kvcache-blocks";
  else
    text += std::string("no context is short enough: ") + (quantised ? "" : "use --quant int8, ");
  throw Error(text + (fit >= page ? ", free memory, or use a larger machine" : "free memory, or use a larger machine"));
}

}  // namespace

struct Executor::State {
  explicit State(const ExecutorOptions& options)
      : config(read_config(options.model_dir)), dummy(dummy_of(options.dummy)), team(std::max(1, options.tensor_parallel_size)) {
    if (dummy == Dummy::none) checkpoint.emplace(options.model_dir);
  }

  ModelConfig config;
  Dummy dummy;
  std::optional<Checkpoint> checkpoint;  // unless weights are dummies
  RankTeam team;
  std::optional<ThreadGroup> group;
  std::vector<RankState> ranks;
  const Variant* variant = nullptr;
  Block rope, sampling;
  MemoryUse memory;
  std::size_t parameters = 0;
  int context_tokens = 0, max_position = 0, max_rows = 0, max_seqs = 0, max_logits = 0;
};

Executor::Executor(const ExecutorOptions& options, const Registry& builds) : state_(std::make_unique<State>(options)) {
  State& s = *state_;
  const model::ModelSpec& spec = s.config.spec;
  const int tp = options.tensor_parallel_size;
  check_ranks(spec, tp);
  if (options.backend == "cpu") static_cast<void>(cpu::isa());  // a machine without AVX2 is told here, before any kernel runs
  const NamedTensor* table = s.checkpoint ? s.checkpoint->find("model.embed_tokens.weight") : nullptr;
  const Wanted wanted{spec, table ? table->dtype : s.config.dtype, options.quant, options.act, options.backend, tp};
  s.variant = &builds.choose(wanted);
  s.max_rows = options.max_rows;
  s.max_seqs = options.max_seqs;
  s.max_logits = options.max_logits;
  s.max_position =
      options.max_model_len > 0 ? std::min(options.max_model_len, s.config.numbers.max_position) : s.config.numbers.max_position;
  constexpr int page = kernels::page_tokens, most_tokens = 1 << 30;
  const int wanted_tokens = options.context_tokens > 0 ? options.context_tokens : s.max_position;
  if (wanted_tokens > most_tokens)
    throw Error("context_tokens: " + std::to_string(wanted_tokens) + " is more than the " + std::to_string(most_tokens) +
                " that a cache may hold");
  s.context_tokens = (wanted_tokens + page - 1) / page * page;

  const auto positions = std::min(s.context_tokens, s.max_position);  // no sequence is longer
  s.memory.rope_table =
      static_cast<std::size_t>(positions) * static_cast<std::size_t>(s.config.numbers.rope.rotary_dim) * sizeof(float);
  s.memory.sampling = static_cast<std::size_t>(s.max_logits) * static_cast<std::size_t>(spec.vocab) * (sizeof(float) + sizeof(int));
  const int threads = options.threads > 0 ? options.threads : usable_cpus(), each = std::max(1, threads / tp);
  std::size_t taken = Block::rounded(s.memory.rope_table) + Block::rounded(s.memory.sampling);
  s.group.emplace(tp);
  s.ranks.resize(static_cast<std::size_t>(tp));
  for (int r = 0; r < tp; ++r) {
    RankState& rank = s.ranks[static_cast<std::size_t>(r)];
    const model::Rank which{r, tp};
    rank.comm = ThreadComm(*s.group, r);
    rank.model = s.variant->make(spec, which, s.config.numbers);
    rank.model->parameters(rank.parameters);
    bind_shapes(spec, which, rank.parameters);
    const WeightBytes weights = s.checkpoint ? plan_weights(*s.checkpoint, spec, which, rank.parameters)
                                             : plan_dummy(s.config.dtype, spec, which, rank.parameters);
    if (r == 0) s.parameters = count_parameters(spec, rank.parameters);
    rank.kv_bytes =
        rank.model->kv_bytes_per_token() * static_cast<std::size_t>(s.context_tokens) * static_cast<std::size_t>(spec.layers);
    rank.scratch_bytes = rank.model->plan(largest_batch(options)).scratch_bytes;
    rank.kernel_scratch = kernel_scratch(model::shard(spec, which));
    const std::size_t in_threads =
        std::max(rank.kernel_scratch.thread, weights.scratch) * static_cast<std::size_t>(each) + rank.kernel_scratch.shared;
    s.memory.weights += weights.copied;
    s.memory.weights_in_file += weights.in_file;
    s.memory.kv_cache += rank.kv_bytes;
    s.memory.activations += rank.scratch_bytes;
    s.memory.thread_scratch += in_threads;
    taken += Block::rounded(weights.copied) + Block::rounded(rank.kv_bytes) + Block::rounded(rank.scratch_bytes) + in_threads;
  }
  if (options.dry) return;
  if (const std::size_t limit = options.memory_limit ? options.memory_limit : usable_memory(); taken > limit)
    refuse(options.model_dir, s.memory, taken, limit, s.context_tokens, tp, options.quant != "none");

  s.rope = Block(s.memory.rope_table, "rope table");
  ops::fill_rope_table(s.config.numbers.rope, positions, reinterpret_cast<float*>(s.rope.data()));
  s.sampling = Block(s.memory.sampling, "sampling scratch");
  for (int r = 0; r < tp; ++r) {
    RankState& rank = s.ranks[static_cast<std::size_t>(r)];
    const model::Rank which{r, tp};
    rank.pool = std::make_unique<ThreadPool>(each, threads <= usable_cpus() ? r * each : -1);
    rank.pool->reserve(rank.kernel_scratch.thread);
    rank.pool->reserve_shared(rank.kernel_scratch.shared);
    rank.kv = Block(rank.kv_bytes, "KV cache");
    rank.scratch = Block(rank.scratch_bytes, "activations");
    Progress* progress = r == 0 ? options.progress : nullptr;
    rank.weights = s.checkpoint ? load_weights(*s.checkpoint, spec, which, rank.parameters, *rank.pool, progress)
                                : load_dummy(s.dummy, s.config.dtype, spec, which, rank.parameters, *rank.pool, progress);
    rank.parameters = {};
    rank.model->attach({rank.pool.get(),
                        &rank.comm,
                        rank.scratch.data(),
                        rank.scratch.bytes(),
                        {rank.kv.data(), rank.kv_bytes / static_cast<std::size_t>(spec.layers) / 2},
                        reinterpret_cast<const float*>(s.rope.data())});
  }
}

Executor::~Executor() = default;

float* Executor::forward(const Batch& batch) noexcept {
  const float* logits = nullptr;
  state_->team.every([&](int rank) noexcept {
    const float* mine = state_->ranks[static_cast<std::size_t>(rank)].model->step(batch);
    if (rank == 0) logits = mine;
  });
  return const_cast<float*>(logits);  // they lie in the first rank's scratch
}

void Executor::sample(const float* logits, const kernels::SampleParams* params, int* tokens, int rows) noexcept {
  const int vocab = state_->config.spec.vocab;
  auto* sorted = reinterpret_cast<float*>(state_->sampling.data());
  auto* order = reinterpret_cast<int*>(sorted + static_cast<std::size_t>(state_->max_logits) * static_cast<std::size_t>(vocab));
  state_->ranks.front().model->sample({logits, params, sorted, order, tokens, rows, vocab, vocab});
}

const ModelConfig& Executor::config() const { return state_->config; }
const Variant& Executor::build() const { return *state_->variant; }
int Executor::vocab() const { return state_->config.spec.vocab; }
int Executor::max_position() const { return state_->max_position; }
int Executor::context_tokens() const { return state_->context_tokens; }
int Executor::max_rows() const { return state_->max_rows; }
int Executor::max_seqs() const { return state_->max_seqs; }
int Executor::max_logits() const { return state_->max_logits; }
const MemoryUse& Executor::memory() const { return state_->memory; }
Plan Executor::plan(const Batch& batch) const { return state_->ranks.front().model->plan(batch); }

std::vector<double> Executor::time_launches(const Batch& batch, const kernels::SampleParams* params, int* tokens) {
  AnyModel& model = *state_->ranks.front().model;
  std::vector<std::int64_t> ended(plan(batch).launches.size() + 1);
  LaunchClock clock{[]() noexcept -> std::int64_t {
                      return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
                    },
                    ended.data(), static_cast<int>(ended.size())};
  std::int64_t last = clock.now();
  model.clock(&clock);
  const float* logits = forward(batch);
  sample(logits, params, tokens, batch.logits);
  model.clock(nullptr);
  std::vector<double> seconds;
  for (const std::int64_t t : ended) seconds.push_back(static_cast<double>(t - std::exchange(last, t)) * 1e-9);
  return seconds;
}

std::size_t Executor::parameters() const { return state_->parameters; }

}  // namespace atom::engine
