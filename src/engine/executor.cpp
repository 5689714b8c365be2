#include "atom/engine/executor.hpp"

#include <algorithm>
#include <exception>
#include <optional>
#include <sched.h>

#include "atom/core/error.hpp"
#include "atom/engine/loader.hpp"
#include "atom/engine/rank_team.hpp"
#include "atom/ops/attention_cpu.hpp"
#include "atom/ops/linear_cpu.hpp"
#include "atom/ops/rope_table.hpp"

namespace atom::engine {

namespace {

struct RankState {
  std::unique_ptr<ThreadPool> pool;
  ThreadComm comm;
  std::unique_ptr<AnyModel> model;
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

// What the Cpu kernels need of each thread, whatever the batch.
std::size_t kernel_scratch_bytes(const model::ModelSpec& local) {
  const int widest = std::max({local.d_model, local.d_ff, model::size(local, model::Axis::q)});
  return std::max(kernels::linear_scratch_bytes(widest),
                  attention_scratch_bytes(local.attn.heads, local.attn.kv_heads, local.attn.head_dim));
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
  int context_tokens = 0, max_rows = 0, max_seqs = 0, max_logits = 0;
};

Executor::Executor(const ExecutorOptions& options, const Registry& builds) : state_(std::make_unique<State>(options)) {
  State& s = *state_;
  const model::ModelSpec& spec = s.config.spec;
  const int tp = options.tensor_parallel_size;
  check_ranks(spec, tp);
  const NamedTensor* table = s.checkpoint ? s.checkpoint->find("model.embed_tokens.weight") : nullptr;
  const Wanted wanted{spec, table ? table->dtype : s.config.dtype, options.quant, options.act, options.backend, tp};
  s.variant = &builds.choose(wanted);
  s.max_rows = options.max_rows;
  s.max_seqs = options.max_seqs;
  s.max_logits = options.max_logits;
  constexpr int page = kernels::page_tokens;
  const int wanted_tokens = options.context_tokens > 0 ? options.context_tokens : s.config.numbers.max_position;
  s.context_tokens = (wanted_tokens + page - 1) / page * page;

  const auto positions = static_cast<std::size_t>(s.context_tokens);
  s.memory.rope_table = positions * static_cast<std::size_t>(s.config.numbers.rope.rotary_dim) * sizeof(float);
  s.memory.sampling = static_cast<std::size_t>(s.max_logits) * static_cast<std::size_t>(spec.vocab) * (sizeof(float) + sizeof(int));
  if (!options.dry) {
    s.rope = Block(s.memory.rope_table, "rope table");
    ops::fill_rope_table(s.config.numbers.rope, s.context_tokens, reinterpret_cast<float*>(s.rope.data()));
    s.sampling = Block(s.memory.sampling, "sampling scratch");
  }

  const int threads = options.threads > 0 ? options.threads : usable_cpus(), each = std::max(1, threads / tp);
  s.group.emplace(tp);
  s.ranks.resize(static_cast<std::size_t>(tp));
  for (int r = 0; r < tp; ++r) {
    RankState& rank = s.ranks[static_cast<std::size_t>(r)];
    const model::Rank which{r, tp};
    rank.comm = ThreadComm(*s.group, r);
    rank.model = s.variant->make(spec, which, s.config.numbers);
    model::ParamTable parameters;
    rank.model->parameters(parameters);
    bind_shapes(spec, which, parameters);
    const WeightBytes weights =
        s.checkpoint ? plan_weights(*s.checkpoint, spec, which, parameters) : plan_dummy(s.config.dtype, spec, which, parameters);
    if (r == 0) s.parameters = count_parameters(spec, parameters);
    const std::size_t layer = rank.model->kv_bytes_per_token() * positions, kv = layer * static_cast<std::size_t>(spec.layers);
    const std::size_t scratch = rank.model->plan(largest_batch(options)).scratch_bytes;
    s.memory.weights += weights.copied;
    s.memory.weights_in_file += weights.in_file;
    s.memory.kv_cache += kv;
    s.memory.activations += scratch;
    if (options.dry) continue;
    rank.pool = std::make_unique<ThreadPool>(each, threads <= usable_cpus() ? r * each : -1);
    rank.pool->reserve(kernel_scratch_bytes(model::shard(spec, which)));
    rank.kv = Block(kv, "KV cache");
    rank.scratch = Block(scratch, "activations");
    Progress* progress = r == 0 ? options.progress : nullptr;
    rank.weights = s.checkpoint ? load_weights(*s.checkpoint, spec, which, parameters, *rank.pool, progress)
                                : load_dummy(s.dummy, s.config.dtype, spec, which, parameters, *rank.pool, progress);
    rank.model->attach({rank.pool.get(),
                        &rank.comm,
                        rank.scratch.data(),
                        rank.scratch.bytes(),
                        {rank.kv.data(), layer / 2},
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
int Executor::max_position() const { return state_->config.numbers.max_position; }
int Executor::context_tokens() const { return state_->context_tokens; }
int Executor::max_rows() const { return state_->max_rows; }
int Executor::max_seqs() const { return state_->max_seqs; }
int Executor::max_logits() const { return state_->max_logits; }
const MemoryUse& Executor::memory() const { return state_->memory; }
Plan Executor::plan(const Batch& batch) const { return state_->ranks.front().model->plan(batch); }

std::size_t Executor::parameters() const { return state_->parameters; }

}  // namespace atom::engine
