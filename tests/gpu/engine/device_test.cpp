// Whole models on a GPU of the emulator, through the executor: weights uploaded, steps staged and replayed, tokens drawn there.
#include <cmath>
#include <gtest/gtest.h>
#include <numeric>
#include <set>

#include "atom/engine/engine.hpp"
#include "atom/engine/engine_args.hpp"
#include "atom/engine/session.hpp"
#include "atom/engine/universal.hpp"
#include "atom/model/llama.hpp"
#include "atom/model/qwen3.hpp"
#include "atom/ops/gpu.hpp"

#include "builds/universal.hpp"
#include "checkpoints.hpp"
#include "emu_device.hpp"

namespace atom::engine {

namespace {
using Gpu = GpuDevice<EmuRuntime<32>>;
std::size_t memory_of_the_device = std::size_t{1} << 30;
std::vector<DeviceInfo> list() { return {{"emulator", "wave 32", memory_of_the_device, memory_of_the_device, {}, "own"}}; }
std::size_t available() { return memory_of_the_device; }
std::unique_ptr<Device> open(const DeviceRequest& r) { return std::make_unique<Gpu>(r); }
constexpr DeviceKind kind{"emu", true, false, &list, &available, &Gpu::plan, &open};
}  // namespace

template <> const DeviceKind& device_kind<Emu<32>>() { return kind; }

namespace {

using Graph = EmuRuntime<32>::Graph;

const Registry& emulated() {
  static const Registry registry = [] {
    Registry r;
    builds::add_heads<model::Qwen3, builds::Heads{64, true}, Emu<32>, model::Arch::qwen3>(r);
    builds::add_heads<model::Qwen3, builds::Heads{128, true}, Emu<32>, model::Arch::qwen3>(r);
    builds::add_heads<model::Llama, builds::Heads{64, false}, Emu<32>, model::Arch::llama, model::Arch::qwen2>(r);
    return r;
  }();
  return registry;
}

std::string dir_of(const std::string& name) { return std::string(ATOM_TEST_DATA) + "/hf/" + name; }

ExecutorOptions options(const std::string& dir, std::vector<int> graph_sizes = {}) {
  ExecutorOptions o;
  o.model_dir = dir;
  o.backend = "emu";
  o.threads = 2;
  o.max_rows = o.max_logits = 40;
  o.max_seqs = 5;
  o.context_tokens = 256;
  o.graph_sizes = std::move(graph_sizes);
  return o;
}

TEST(Device, LogitsMatch) {
  for (const char* name : {"llama", "qwen2", "qwen3"}) {
    const SafeTensors golden(dir_of(name) + "/golden.safetensors");
    auto ids = test::ids(golden, "input_ids");
    ids.resize(std::min<std::size_t>(ids.size(), 56));  // a step of 40 rows, and one of 16
    const auto want = test::floats(golden, "logits");
    Executor executor(options(dir_of(name)), emulated());
    Session session(executor);
    const auto vocab = static_cast<std::size_t>(executor.vocab());
    double error = 0, size = 0;
    session.feed_all(ids, [&](std::size_t first, const float* rows, std::size_t n) {
      for (std::size_t i = 0; i < n * vocab; ++i) {
        const double w = double{want[first * vocab + i]}, e = double{rows[i]} - w;
        error += e * e;
        size += w * w;
      }
    });
    EXPECT_LE(std::sqrt(error / size), 2e-2) << name;
  }
}

TEST(Device, DemoContinuesItsPrompt) {
  const SafeTensors golden(std::string(ATOM_DEMO_MODEL) + "/golden.safetensors");
  const auto want = test::ids(golden, "greedy_0");
  constexpr std::size_t prompt = 6, drawn = 2;
  auto o = options(ATOM_DEMO_MODEL);
  o.max_rows = o.max_logits = prompt;
  Executor executor(o, emulated());
  Session session(executor);
  const float* logits = session.feed(std::span(want).first(prompt));
  for (std::size_t i = prompt; i < prompt + drawn; ++i) {
    const int token = session.sample(logits, {.temperature = 0});
    EXPECT_EQ(token, want[i]) << i;
    if (i + 1 < prompt + drawn) logits = session.decode(token);
  }
}

// A step of prompts and answers: sequences of so many rows behind so many tokens, in pages of their own.
struct Mixed {
  struct Part {
    int rows, past;
  };
  explicit Mixed(const std::vector<Part>& parts) {
    constexpr int pages = 4;
    for (const Part& p : parts) {
      const int s = static_cast<int>(context.size());
      for (int at = p.past; at < p.past + p.rows; ++at) {
        tokens.push_back((s * 31 + at * 7) % 101);
        positions.push_back(at);
        slots.push_back((s * pages + at / 16) * 16 + at % 16);
      }
      for (int i = 0; i < pages; ++i) table.push_back(s * pages + i);
      context.push_back(p.past + p.rows);
      first_row.push_back(static_cast<int>(tokens.size()));
      last.push_back(first_row.back() - 1);
    }
    batch.tokens = tokens.data();
    batch.positions = positions.data();
    batch.slots = slots.data();
    batch.block_table = table.data();
    batch.first_row = first_row.data();
    batch.context = context.data();
    batch.logit_rows = last.data();
    batch.rows = first_row.back();
    batch.seqs = batch.logits = static_cast<int>(parts.size());
    batch.table_stride = pages;
  }
  std::vector<int> tokens, positions, slots, table, first_row{0}, context, last;
  Batch batch;
};

TEST(Device, ReplayEqualsEager) {
  test::TempDir dir;
  test::RandomCheckpoint{}.fill().write(dir.path());
  Executor eager(options(dir.path()), emulated());
  Graph::recorded = Graph::replayed = 0;
  Executor graphs(options(dir.path(), {1, 2, 4, 9}), emulated());
  EXPECT_EQ(Graph::recorded, 3) << "9 is more than a step has";
  const auto vocab = static_cast<std::size_t>(eager.vocab());
  std::vector<Mixed::Part> parts = {{14, 0}, {12, 0}, {9, 0}, {5, 0}};
  for (const std::size_t seqs : {4, 4, 1, 2, 3, 4}) {  // prompts, then answers; the first grows over a page's end
    const Mixed step({parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(seqs)});
    const int before = Graph::replayed;
    const bool answers = step.batch.rows == step.batch.seqs;
    const float* want = eager.host(eager.forward(step.batch), step.batch.seqs);
    const float* got = graphs.host(graphs.forward(step.batch), step.batch.seqs);
    EXPECT_TRUE(std::equal(want, want + vocab * seqs, got)) << seqs << " sequences, the first of " << parts[0].past;
    EXPECT_EQ(Graph::replayed - before, answers && seqs != 3);
    for (std::size_t s = 0; s < seqs; ++s) parts[s] = {1, parts[s].past + parts[s].rows};
  }
}

TEST(Device, PiecesEqualEager) {
  test::TempDir dir;
  test::RandomCheckpoint{}.fill().write(dir.path());
  auto o = options(dir.path());
  Executor eager(o, emulated());
  Graph::recorded = Graph::replayed = 0;
  o.piece_sizes = {16, 4, 8, 64};
  Executor pieces(o, emulated());
  const int each = eager.config().spec.layers + 1;
  EXPECT_EQ(Graph::recorded, 3 * (each + 1)) << "64 tokens are more than a step has; what lies behind the head is empty";
  const auto vocab = static_cast<std::size_t>(eager.vocab());
  const std::vector<std::vector<Mixed::Part>> steps = {
      {{5, 0}}, {{1, 5}, {9, 0}}, {{3, 6}, {1, 9}, {4, 0}}, {{17, 9}}, {{1, 26}, {1, 10}, {1, 4}}, {{1, 27}}, {{10, 28}, {6, 11}}};
  for (const auto& parts : steps) {
    const Mixed step(parts);
    SCOPED_TRACE(step.batch.rows);
    const int before = Graph::replayed;
    const float* want = eager.host(eager.forward(step.batch), step.batch.logits);
    const float* got = pieces.host(pieces.forward(step.batch), step.batch.logits);
    EXPECT_TRUE(std::equal(want, want + vocab * parts.size(), got));
    EXPECT_EQ(Graph::replayed - before, step.batch.rows <= 16 ? each : 0);
  }
}

TEST(Device, DrawsFromLogitsThatTheHostEdited) {
  test::TempDir dir;
  test::RandomCheckpoint{}.fill().write(dir.path());
  Executor executor(options(dir.path()), emulated());
  const Mixed step({{1, 0}, {1, 0}});
  float* logits = executor.forward(step.batch);
  const kernels::SampleParams greedy[2] = {{.temperature = 0}, {.temperature = 0}};
  int plain[2], edited[2];
  executor.sample(logits, greedy, plain, 2);
  float* mine = executor.host(logits, 2);
  mine[42] = mine[executor.vocab() + 17] = 1e9f;
  executor.sample(mine, greedy, edited, 2);
  EXPECT_EQ(edited[0], 42);
  EXPECT_EQ(edited[1], 17);
  EXPECT_TRUE(plain[0] != 42 || plain[1] != 17);
}

// Tokens of rows whose best the head found are those of the same logits by way of the host, of which nobody knows that: kernel by
// kernel, replayed, in pieces, padded; where the head's own kernels find them, and behind those of many rows; whatever steps, with
// draws and without, were in front.
TEST(Device, KnownBestsChangeNoToken) {
  test::TempDir dir;
  test::RandomCheckpoint{}.fill().write(dir.path());
  auto o = options(dir.path());
  for (const bool recorded : {false, true}) {
    if (recorded) o.graph_sizes = {1, 2, 4}, o.piece_sizes = {16};
    Executor executor(o, emulated());
    const auto vocab = static_cast<std::size_t>(executor.vocab());
    std::set<int> seen;
    const std::vector<std::vector<Mixed::Part>> steps = {{{9, 0}, {5, 0}, {1, 0}, {1, 0}},
                                                         {{40, 0}},
                                                         {{1, 9}, {1, 5}, {1, 1}, {1, 1}},
                                                         {{1, 10}, {1, 6}, {1, 2}, {1, 2}},
                                                         {{1, 11}},
                                                         {{1, 12}},
                                                         {{3, 13}, {1, 7}}};
    for (const auto& parts : steps)
      for (const bool drawn : {false, true}) {
        Mixed step(parts);
        if (step.batch.rows == 40) step.batch.logit_rows = nullptr, step.batch.logits = 40;
        SCOPED_TRACE(testing::Message() << step.batch.rows << " rows" << (drawn ? ", drawn" : ""));
        const int rows = step.batch.logits;
        const auto n = static_cast<std::size_t>(rows);
        std::vector<kernels::SampleParams> params(n, {.temperature = 0});
        for (std::size_t r = 1; drawn && r < n; r += 2) params[r] = {.temperature = 1, .top_k = 20, .seed = r};
        std::vector<int> known(n), unknown(n);
        float* logits = executor.forward(step.batch);
        executor.sample(logits, params.data(), known.data(), rows);
        const float* mine = executor.host(logits, rows);
        for (std::size_t r = 0; r < n; r += drawn ? 2 : 1) {
          const float* row = mine + r * vocab;
          EXPECT_EQ(known[r], std::max_element(row, row + vocab) - row) << r;
          seen.insert(known[r]);
        }
        executor.sample(mine, params.data(), unknown.data(), rows);
        EXPECT_EQ(known, unknown);
      }
    EXPECT_GE(seen.size(), 10u) << "or those of another step would not show";
  }
}

TEST(Device, RequestsGiveTheSameTokensWithAndWithoutGraphs) {
  test::TempDir dir;
  test::RandomCheckpoint checkpoint;
  checkpoint.tied = false;  // or a token would follow itself
  checkpoint.fill().write(dir.path());
  std::vector<std::vector<int>> want;
  using Mode = CUDAGraphMode;
  for (const Mode mode : {Mode::NONE, Mode::FULL_DECODE_ONLY, Mode::PIECEWISE, Mode::FULL_AND_PIECEWISE}) {
    SCOPED_TRACE(mode.name());
    EngineArgs args;
    args.model = dir.path();
    args.backend = "emu";
    args.max_num_seqs = 4;
    args.max_model_len = 64;
    args.max_num_batched_tokens = 8;  // prompts arrive in parts, beside answers
    args.compilation_config.cudagraph_mode = mode;
    if (mode != Mode::NONE) args.compilation_config.cudagraph_capture_sizes = {4, 8};
    const Config config = resolve(args, emulated());
    EXPECT_EQ(config.batch_buckets, mode.decode_mode() == Mode::FULL ? (std::vector<int>{4}) : std::vector<int>());
    Graph::replayed = 0;
    LLMEngine engine(std::make_unique<Executor>(executor_options(config), emulated()), {}, config);
    std::vector<Prompt> prompts;
    for (int i = 0; i < 3; ++i) prompts.emplace_back(std::vector<int>{5 + i, 9, 70 - i, 3, 8});  // three are padded to four
    SamplingParams params;
    params.max_tokens = 3;
    params.seed = 3;
    params.ignore_eos = true;
    std::vector<std::vector<int>> answers;
    for (const RequestOutput& o : engine.generate(prompts, params)) answers.push_back(o.token_ids);
    EXPECT_EQ(Graph::replayed > 0, mode != Mode::NONE);
    if (want.empty()) want = answers;
    EXPECT_EQ(answers, want);
  }
}

// A request that reads log probabilities waits for every token; one that does not gets them a step late, from the device.
TEST(Device, TokensFeedTheNextStepThere) {
  test::TempDir dir;
  test::RandomCheckpoint checkpoint;
  checkpoint.tied = false;  // or a token would follow itself
  checkpoint.fill().write(dir.path());
  for (const bool graphs : {false, true}) {
    EngineConfig c{.max_num_seqs = 4, .max_num_batched_tokens = 8};
    if (graphs) c.batch_buckets = {2, 4};
    auto o = options(dir.path(), c.batch_buckets);
    if (graphs) o.piece_sizes = {8};
    o.max_rows = c.max_num_batched_tokens, o.max_seqs = o.max_logits = c.max_num_seqs;
    Executor executor(o, emulated());
    EXPECT_TRUE(executor.defers());
    LLMEngine engine(executor, {}, c);
    std::vector<Prompt> prompts;
    std::vector<SamplingParams> params(3);
    for (int i = 0; i < 3; ++i) {  // they come and go at different times
      prompts.emplace_back(std::vector<int>{5 + i, 9, 70 - i, 3, 8});
      params[static_cast<std::size_t>(i)].max_tokens = 4 + i;
      params[static_cast<std::size_t>(i)].seed = 3;
      params[static_cast<std::size_t>(i)].ignore_eos = true;
    }
    params[2].temperature = 0;
    const auto late = engine.generate(prompts, params);
    for (SamplingParams& p : params) p.logprobs = 0;
    const auto at_once = engine.generate(prompts, params);
    for (std::size_t i = 0; i < late.size(); ++i) {
      EXPECT_EQ(late[i].token_ids.size(), 4 + i);
      EXPECT_EQ(late[i].token_ids, at_once[i].token_ids) << i;
    }
    const auto& ids = late[1].token_ids;
    EXPECT_GE(std::set<int>(ids.begin(), ids.end()).size(), 4u) << "or a wrong one would not show";
  }
}

// A right guess and a wrong one behind every token of known answers.
class Guesses final : public Proposer {
 public:
  explicit Guesses(std::vector<std::vector<int>> texts) : texts_(std::move(texts)) {}
  void propose(const Batch&, std::span<Drafting> step) noexcept override {
    for (Drafting& d : step)
      for (const auto& text : texts_)
        if (const std::size_t n = d.tokens.size(); n < text.size() && std::equal(d.tokens.begin(), d.tokens.end(), text.begin())) {
          const int guess[] = {text[n], 0};
          d.drafted = std::min(2, static_cast<int>(d.drafts.size()));
          std::copy_n(guess, d.drafted, d.drafts.begin());
        }
  }

 private:
  std::vector<std::vector<int>> texts_;
};

TEST(Device, DraftsAreJudgedInStepsOfManyRows) {
  test::TempDir dir;
  test::RandomCheckpoint{}.fill().write(dir.path());
  const std::vector<Prompt> prompts = {std::vector<int>{5, 9, 70, 3, 8}, std::vector<int>{6, 9}};
  std::vector<std::vector<int>> texts;
  for (const bool guessed : {false, true}) {
    EngineConfig c{.max_num_seqs = 2, .max_num_batched_tokens = 8, .batch_buckets = {2}};
    if (guessed) c.speculative_config = {.method = "ngram", .model = {}, .num_speculative_tokens = 2};
    auto o = options(dir.path(), c.batch_buckets);
    o.max_rows = c.max_num_batched_tokens, o.max_seqs = c.max_num_seqs, o.max_logits = logit_rows(c);
    LLMEngine engine(std::make_unique<Executor>(o, emulated()), {}, c, guessed ? std::make_unique<Guesses>(texts) : nullptr);
    SamplingParams params;
    params.max_tokens = 8;
    params.seed = 3;
    params.ignore_eos = true;
    const auto outputs = engine.generate(prompts, params);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      auto text = std::get<std::vector<int>>(prompts[i]);
      text.insert(text.end(), outputs[i].token_ids.begin(), outputs[i].token_ids.end());
      if (guessed)
        EXPECT_EQ(text, texts[i]);
      else
        texts.push_back(text);
    }
    const auto drafts = engine.stats().speculation;
    EXPECT_EQ(drafts.accepted() > 4, guessed);
    EXPECT_EQ(drafts.drafted() > drafts.accepted(), guessed);
  }
}

TEST(Device, EveryLaunchIsTimed) {
  constexpr int more = 70;  // than a product of few rows has
  auto o = options(dir_of("qwen3"));
  o.max_rows = o.max_logits = more;
  Executor executor(o, emulated());
  Mixed one({{1, 0}}), many({{40, 0}, {30, 0}});
  many.batch.logit_rows = nullptr, many.batch.logits = more;
  const std::vector<kernels::SampleParams> greedy(more, {.temperature = 0});
  std::vector<int> tokens(more, -1);
  const auto last = [](const Plan& plan) { return std::string(std::string_view(plan.launches.back().name)); };
  for (const Mixed* step : {&one, &many}) {
    const Plan plan = executor.plan(step->batch);
    EXPECT_EQ(last(plan), step == &one ? "best_linear<bf16,bf16>" : "best_tokens");
    EXPECT_EQ(executor.time_launches(step->batch, greedy.data(), tokens.data()).size(), plan.launches.size() + 1);
    EXPECT_GE(tokens[static_cast<std::size_t>(step->batch.logits - 1)], 0);
  }
  EXPECT_LT(executor.plan_draw(more).cost.bytes, 1000) << "no logits";
}

TEST(Device, MemoryIsPlannedForTheDevice) {
  test::TempDir dir;
  test::RandomCheckpoint{}.fill().write(dir.path());
  memory_of_the_device = std::size_t{1} << 20;
  test::expect_error([&] { Executor(options(dir.path()), emulated()); }, "of the GPU's:");
  memory_of_the_device = std::size_t{1} << 30;
  Executor executor(options(dir.path()), emulated());
  // Matrices in bf16, norms in float; the tied head is the embedding.
  EXPECT_GE(executor.memory().weights, executor.parameters() * 2);
  EXPECT_LE(executor.memory().weights, executor.parameters() * 2 + (std::size_t{1} << 16));
  EXPECT_EQ(executor.memory().weights_in_file, 0u);
}

TEST(Device, OneRankOnly) {
  auto o = options(dir_of("qwen3"));
  o.tensor_parallel_size = 2;
  test::expect_error([&] { Executor(o, emulated()); }, "--tensor-parallel-size 2");
}

}  // namespace
}  // namespace atom::engine
