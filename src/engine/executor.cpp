#include "atom/engine/executor.hpp"

#include <algorithm>
#include <optional>

#include "atom/core/error.hpp"
#include "atom/core/memory_nodes.hpp"
#include "atom/core/processors.hpp"
#include "atom/engine/loader.hpp"
#include "atom/engine/rank_team.hpp"
#include "atom/ops/rope_table.hpp"

namespace atom::engine {

namespace {

struct RankState {
  std::unique_ptr<Device> device;  // outlives what is attached to it
  ThreadComm comm;
  std::unique_ptr<AnyModel> model;
  model::ParamTable parameters;
  DeviceRequest request;
  std::vector<std::byte> tables;  // of modules, as the device has them
  std::size_t kv_bytes = 0, state_bytes = 0, scratch_bytes = 0, hidden_bytes = 0;
};

std::size_t table_bytes(const model::ParamTable& parameters) {
  std::size_t sum = 0;
  for (const model::TableRef& t : parameters.tables) sum += t.bytes;
  return sum;
}

// Behind load(): modules look where their parameters are.
void make_tables(RankState& rank) {
  rank.tables.resize(table_bytes(rank.parameters));
  if (rank.tables.empty()) return;
  std::byte* to = rank.tables.data();
  for (const model::TableRef& t : rank.parameters.tables) {
    t.make(t.module, rank.request.rank, to);
    to += t.bytes;
  }
  const std::byte* there = rank.device->share(rank.tables.data(), rank.tables.size(), "tables of weights");
  for (const model::TableRef& t : rank.parameters.tables) {
    t.bind(t.module, there);
    there += t.bytes;
  }
}

// The run-time half of model::check: what a specialised build refuses to compile, a universal build refuses to load.
void check_ranks(const model::ModelSpec& s, int tp, bool expert_parallel) {
  const auto refuse = [&](const std::string& why) { throw Error("--tensor-parallel-size " + std::to_string(tp) + ": " + why); };
  if (tp < 1 || tp > 64) refuse("must be between 1 and 64");
  if (s.attn.heads % tp != 0) refuse("must divide the model's " + std::to_string(s.attn.heads) + " attention heads");
  if (s.attn.kv_heads % tp != 0 && tp % s.attn.kv_heads != 0)
    refuse("must divide the model's " + std::to_string(s.attn.kv_heads) + " KV heads, or be a multiple of them");
  if (s.d_ff % tp != 0) refuse("must divide intermediate_size " + std::to_string(s.d_ff));
  if (s.delta && s.delta.key_heads % tp != 0) refuse("must divide linear_num_key_heads " + std::to_string(s.delta.key_heads));
  if (s.moe.d_ff * s.moe.shared % tp != 0)
    refuse("must divide the shared experts' intermediate size " + std::to_string(s.moe.d_ff * s.moe.shared));
  if (expert_parallel && s.moe.experts == 0)
    throw Error("--enable-expert-parallel: this model has no experts; leave it out, --tensor-parallel-size cuts the model");
  if (expert_parallel && s.moe.experts < tp)
    refuse("with --enable-expert-parallel every rank needs an expert, and the model has " + std::to_string(s.moe.experts));
  if (!expert_parallel && s.moe.d_ff % tp != 0)
    refuse("must divide the experts' intermediate size " + std::to_string(s.moe.d_ff) +
           "; or --enable-expert-parallel shares whole experts out");
}

Dummy dummy_of(const std::string& name) {
  constexpr std::string_view names[] = {"none", "empty", "zero", "random"};
  const auto* at = std::ranges::find(names, name);
  if (at == std::end(names)) throw Error("--load-dummy: " + name + " is unknown; use empty, zero or random");
  return static_cast<Dummy>(at - names);
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

// Devices that draw let steps find each row's best token: there, where a dry run looks.
std::uint64_t* best_of(const DeviceKind& kind) {
  static std::uint64_t some = 0;
  return kind.host_memory ? nullptr : &some;
}

std::string mib(std::size_t bytes) { return std::to_string((bytes + (std::size_t{1} << 20) - 1) >> 20) + " MiB"; }

// The plan as a message, and what would make it fit. `taken`: bytes in all.
[[noreturn]] void refuse(const std::string& model_dir, const MemoryUse& m, std::size_t taken, std::size_t limit, int context,
                         int ranks, bool quantised, bool on_host) {
  const auto line = [](const char* what, std::size_t bytes) { return "\n  " + std::string(what) + mib(bytes); };
  std::string text = model_dir + ": memory: " + mib(taken) + " are needed, this process may take " + mib(limit) +
                     (on_host ? ":" : " of the GPU's:");
  text += line("weights         ", m.weights);
  text += line("KV cache        ", m.kv_cache) + " for " + std::to_string(context) + " tokens";
  if (m.states > 0) text += line("states          ", m.states) + " of the sequences that run at once (--max-num-seqs)";
  text += line("activations     ", m.activations);
  if (on_host) text += line("thread scratch  ", m.thread_scratch);
  text += line("sampling        ", m.sampling) + line("rope table      ", m.rope_table);
  if (m.weights_in_file > 0) text += line("not counted     ", m.weights_in_file) + " of weights that stay in the mapped file";
  text += "\n";
  // Rounding to huge pages may cost each rank one more.
  const std::size_t others = taken - m.kv_cache + Block::rounded(1) * static_cast<std::size_t>(ranks), page = kernels::page_tokens;
  const std::size_t fit = limit > others ? (limit - others) / (m.kv_cache / static_cast<std::size_t>(context)) / page * page : 0;
  const char* larger = on_host ? "free memory, or use a larger machine" : "free its memory, or use a larger one";
  if (fit >= page)
    text += "a cache of " + std::to_string(fit) + " tokens would fit: lower --max-model-len or --num-kvcache-blocks, ";
  else
    text += std::string("no context is short enough: ") + (quantised || !on_host ? "" : "use --quant int8, ");
  throw Error(text + larger);
}

constexpr const char* otherwise = "; use --method ngram or none, or a model that has such layers";

// The weights of one rank, from a checkpoint or made up.
struct RankWeights final : WeightSource {
  const Checkpoint* checkpoint;
  Dummy dummy;
  DType stored;
  const model::ModelSpec& whole;
  model::Rank rank;
  Progress* progress;

  RankWeights(const Checkpoint* c, Dummy d, DType t, const model::ModelSpec& s, model::Rank r, Progress* p)
      : checkpoint(c), dummy(d), stored(t), whole(s), rank(r), progress(p) {}
  WeightBytes plan(model::ParamTable& table) const {
    return checkpoint ? plan_weights(*checkpoint, whole, rank, table) : plan_dummy(stored, whole, rank, table);
  }
  Block load(model::ParamTable& table, ThreadPool& pool) const override {
    return checkpoint ? load_weights(*checkpoint, whole, rank, table, pool, progress)
                      : load_dummy(dummy, stored, whole, rank, table, pool, progress);
  }
};

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
  Block rope;
  MemoryUse memory;
  std::size_t parameters = 0;
  int context_tokens = 0, max_position = 0, draft_layers = 0;
  StepLimits limits;
};

Executor::Executor(const ExecutorOptions& options, const Registry& builds) : state_(std::make_unique<State>(options)) {
  State& s = *state_;
  const model::ModelSpec& spec = s.config.spec;
  const int tp = options.tensor_parallel_size, drafts = options.draft_layers,
            cached_layers = model::cached_layers(spec, spec.layers + drafts);
  check_ranks(spec, tp, options.expert_parallel);
  const int ep = options.expert_parallel ? tp : 1;
  if (drafts < 0 || drafts > spec.mtp_layers || spec.layers + drafts > model::most_layers)
    throw Error(options.model_dir + "/config.json: num_nextn_predict_layers: " + std::to_string(spec.mtp_layers) + ", and " +
                std::to_string(drafts) + " of them would have to draft" + otherwise);
  s.draft_layers = drafts;
  const NamedTensor* table = s.checkpoint ? s.checkpoint->find("model.embed_tokens.weight") : nullptr;
  const Wanted wanted{spec, table ? table->dtype : s.config.dtype, options.quant, options.act, options.backend, tp, ep, options.kv};
  s.variant = &builds.choose(wanted);
  const DeviceKind& kind = *s.variant->device;
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
  s.limits = {options.max_rows, options.max_seqs, options.max_logits, spec.vocab, (positions + page - 1) / page, drafts};
  const Processors cpus = select(processors(), options.cpu_mask);
  const int threads = options.threads > 0 ? options.threads : default_threads(cpus), each = std::max(1, threads / tp);
  if (const int all = each * tp; cpus.named && static_cast<std::size_t>(all) > cpus.usable.size())
    throw Error("--cpu-mask: " + std::to_string(all) + " threads do not fit on the " + std::to_string(cpus.usable.size()) +
                " CPUs of " + options.cpu_mask + "; name more, or lower --threads or --tensor-parallel-size");
  const std::vector<Place> places = place(cpus, tp, each);
  const auto weights_of = [&](int r) {
    return RankWeights(s.checkpoint ? &*s.checkpoint : nullptr, s.dummy, s.config.dtype, spec, {r, tp, ep},
                       r == 0 ? options.progress : nullptr);
  };
  std::size_t taken = Block::rounded(s.memory.rope_table);
  s.group.emplace(tp);
  s.ranks.resize(static_cast<std::size_t>(tp));
  for (int r = 0; r < tp; ++r) {
    RankState& rank = s.ranks[static_cast<std::size_t>(r)];
    const model::Rank which{r, tp, ep};
    rank.request = {spec, which, s.limits, each, places[static_cast<std::size_t>(r)], options.gemm};
    rank.comm = ThreadComm(*s.group, r);
    rank.model = s.variant->make(spec, which, s.config.numbers);
    if (drafts > 0 && !rank.model->add_drafts(drafts))
      throw Error(options.model_dir + "/config.json: num_nextn_predict_layers: " + s.variant->name + " on " +
                  std::string(kind.backend) + " runs no layers that draft" + otherwise);
    rank.model->parameters(rank.parameters);
    bind_shapes(spec, which, rank.parameters);
    const WeightBytes weights = weights_of(r).plan(rank.parameters);
    if (r == 0) s.parameters = count_parameters(spec, rank.parameters);
    rank.kv_bytes =
        rank.model->kv_bytes_per_token() * static_cast<std::size_t>(s.context_tokens) * static_cast<std::size_t>(cached_layers);
    rank.state_bytes = rank.model->state_floats() * sizeof(float) * static_cast<std::size_t>(options.max_seqs) *
                       static_cast<std::size_t>(spec.layers - model::cached_layers(spec, spec.layers));
    const Batch largest = largest_batch(options);
    rank.scratch_bytes =
        std::max(rank.model->plan(largest).scratch_bytes, drafts ? rank.model->plan_draft(largest).scratch_bytes : 0);
    rank.hidden_bytes = drafts ? static_cast<std::size_t>(options.max_rows) * static_cast<std::size_t>(spec.d_model) *
                                     static_cast<std::size_t>(size_of(options.act))
                               : 0;
    const std::size_t tables = table_bytes(rank.parameters);
    s.memory.weights += tables;
    s.memory.kv_cache += rank.kv_bytes;
    s.memory.states += rank.state_bytes;
    s.memory.activations += rank.scratch_bytes + rank.hidden_bytes;
    taken += Block::rounded(rank.kv_bytes) + Block::rounded(rank.state_bytes) + Block::rounded(rank.scratch_bytes) +
             Block::rounded(rank.hidden_bytes) + tables + kind.plan(rank.request, rank.parameters, weights, s.memory);
  }
  if (options.dry) return;
  const auto share = [&] { return static_cast<std::size_t>(static_cast<double>(kind.available()) * options.memory_share); };
  if (const std::size_t limit = options.memory_limit ? options.memory_limit : share(); taken > limit)
    refuse(options.model_dir, s.memory, taken, limit, s.context_tokens, tp, options.quant != "none", kind.host_memory);

  s.team.every([&](int r) noexcept {
    const Place& mine = places[static_cast<std::size_t>(r)];
    if (r == 0) return;  // the caller, a guest
    if (!mine.cpus.empty()) confine(std::span(mine.cpus).first(1));
    take_memory_from(mine.nodes);
  });
  s.rope = Block(s.memory.rope_table, "rope table");
  ops::fill_rope_table(s.config.numbers.rope, positions, reinterpret_cast<float*>(s.rope.data()));
  for (int r = 0; r < tp; ++r) {
    RankState& rank = s.ranks[static_cast<std::size_t>(r)];
    const NodeScope memory(rank.request.place.nodes);  // of what is touched here, and by the threads of its device for good
    rank.device = kind.open(rank.request);
    Device& device = *rank.device;
    std::byte* kv = device.allocate(rank.kv_bytes, "KV cache");
    std::byte* states = rank.state_bytes > 0 ? device.allocate(rank.state_bytes, "recurrent states") : nullptr;
    std::byte* scratch = device.allocate(rank.scratch_bytes, "activations");
    std::byte* hidden = drafts ? device.allocate(rank.hidden_bytes, "activations") : nullptr;
    device.load(rank.parameters, weights_of(r));
    make_tables(rank);
    rank.parameters = {};
    rank.model->attach({device.stream(),
                        &rank.comm,
                        scratch,
                        rank.scratch_bytes,
                        {kv, rank.kv_bytes / static_cast<std::size_t>(cached_layers) / 2},
                        {reinterpret_cast<float*>(states), rank.model->state_floats(), options.max_seqs},
                        reinterpret_cast<const float*>(device.share(s.rope.data(), s.memory.rope_table, "rope table")),
                        hidden,
                        kind.host_memory});
    device.record(*rank.model, options.graph_sizes, options.piece_sizes);
  }
}

Executor::~Executor() = default;

float* Executor::forward(const Batch& batch) noexcept {
  float* logits = nullptr;
  state_->team.every([&](int r) noexcept {
    RankState& rank = state_->ranks[static_cast<std::size_t>(r)];
    float* mine = rank.device->step(*rank.model, batch);
    if (r == 0) logits = mine;
  });
  return logits;
}

float* Executor::draft(const Batch& batch, int layer) noexcept {
  float* logits = nullptr;
  state_->team.every([&](int r) noexcept {
    RankState& rank = state_->ranks[static_cast<std::size_t>(r)];
    float* mine = rank.device->draft(*rank.model, batch, layer);
    if (r == 0) logits = mine;
  });
  return logits;
}

void Executor::sample(const float* logits, const kernels::SampleParams* params, int* tokens, int rows) noexcept {
  const RankState& first = state_->ranks.front();
  first.device->sample(*first.model, logits, params, tokens, rows);
}

float* Executor::host(float* logits, int rows) noexcept { return state_->ranks.front().device->host(logits, rows); }

bool Executor::defers() const { return !state_->variant->device->host_memory && state_->ranks.size() == 1; }

void Executor::draw(const float* logits, const kernels::SampleParams* params, int rows) noexcept {
  const RankState& first = state_->ranks.front();
  first.device->draw(*first.model, logits, params, rows);
}

void Executor::collect(int* tokens, int rows) noexcept { state_->ranks.front().device->collect(tokens, rows); }

const ModelConfig& Executor::config() const { return state_->config; }
const Variant& Executor::build() const { return *state_->variant; }
int Executor::vocab() const { return state_->config.spec.vocab; }
int Executor::max_position() const { return state_->max_position; }
int Executor::context_tokens() const { return state_->context_tokens; }
int Executor::max_rows() const { return state_->limits.rows; }
int Executor::max_seqs() const { return state_->limits.seqs; }
int Executor::max_logits() const { return state_->limits.logits; }
int Executor::draft_layers() const { return state_->draft_layers; }
bool Executor::rewinds() const { return state_->ranks.front().model->state_floats() == 0; }
const MemoryUse& Executor::memory() const { return state_->memory; }
Plan Executor::plan(const Batch& batch) const {
  Batch b = batch;
  b.best = best_of(*state_->variant->device);
  return state_->ranks.front().model->plan(b);
}
Dry::Launch Executor::plan_draw(int rows) const {
  kernels::sample::args a{};
  a.rows = rows;
  a.vocab = a.ld = vocab();
  a.greedy = true;
  a.best = best_of(*state_->variant->device);
  std::vector<Dry::Launch> launched;
  run_on<kernels::sample, Dry>(&launched, a);
  return launched.front();
}

std::vector<double> Executor::time_launches(const Batch& batch, const kernels::SampleParams* params, int* tokens) {
  const RankState& first = state_->ranks.front();
  const auto watch = first.device->stopwatch(static_cast<int>(plan(batch).launches.size()) + 1);
  first.model->clock(watch.get());
  const float* logits = forward(batch);
  sample(logits, params, tokens, batch.logits);
  first.model->clock(nullptr);
  return watch->seconds();
}

std::size_t Executor::available_memory() const { return state_->variant->device->available(); }
std::size_t Executor::parameters() const { return state_->parameters; }
int Executor::threads() const { return state_->ranks.front().request.threads * static_cast<int>(state_->ranks.size()); }

}  // namespace atom::engine
