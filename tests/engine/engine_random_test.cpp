// Random schedules against a sequential oracle: requests that come, share prefixes, branch, are chunked, preempted and aborted,
// with drafts good, bad and impossible, tokens read at once or a step later, on pools from just large enough to ample; every answer
// must be what it is alone, and no page may be lost. ATOM_ENGINE_STEPS and ATOM_ENGINE_ABORTS raise the numbers (a nightly run:
// 1000000, 100000); ATOM_ENGINE_SEED repeats one schedule.
#include <cmath>
#include <cstdlib>
#include <random>

#include "atom/engine/engine.hpp"

#include "watched_drafts.hpp"

namespace atom::engine {
namespace {

using fake::fake_eos;
using fake::FakeModel;
using fake::FakeShape;

long from_environment(const char* name, long otherwise) {
  const char* text = std::getenv(name);
  return text ? std::atol(text) : otherwise;
}

/// Text that was seen before, and often something else.
class Scribbler final : public Proposer {
 public:
  Scribbler(unsigned seed, int vocab) : random_(seed), vocab_(vocab) {}
  void propose(const Batch&, std::span<Drafting> step) noexcept override {
    ngram_.propose({}, step);
    for (Drafting& d : step) {
      if (d.drafts.empty() || random_() % 2) continue;
      d.drafted = static_cast<int>(random_() % (d.drafts.size() + 2));  // one too many, now and then
      for (int& draft : d.drafts)
        if (random_() % 4 == 0) draft = static_cast<int>(random_() % static_cast<unsigned>(vocab_ + 2)) - 1;
    }
  }

 private:
  std::mt19937 random_;
  int vocab_;
  NgramProposer ngram_{1, 3};
};

class Schedule {
 public:
  Schedule(unsigned seed, const Tokenizer& tokenizer) : random_(seed), tokenizer_(tokenizer) {}

  /// Runs one random engine until all its requests have ended; returns its steps.
  long run() {
    shape_.max_rows = pick(4, 64);
    shape_.max_seqs = pick(1, std::min(16, shape_.max_rows));
    shape_.predictable = pick(0, 1);
    shape_.rewinds = pick(0, 3) > 0;
    shape_.defers = pick(0, 1);
    plain_ = shape_.defers && pick(0, 1);
    EngineConfig config = some_config();
    FakeModel model(shape_);
    const bool scribbles = config.speculative_config.method == "ngram" && pick(0, 1);
    std::unique_ptr<Proposer> proposer;
    if (scribbles) proposer = std::make_unique<Scribbler>(random_(), shape_.vocab);
    if (config.speculative_config.method == "mtp") proposer = std::make_unique<fake::WatchedDrafts>(config, model, rows_checked);
    LLMEngine engine(model, tokenizer_, config, std::move(proposer));
    config_ = engine.config();
    for (auto& document : documents_) document = tokens(pick(1, config_.max_model_len));
    answers_.clear();
    int left = pick(1, 40);
    const int arrivals = pick(1, 100), aborts = pick(0, 3) ? 0 : pick(1, 10);
    for (bool busy = false; busy || left > 0;) {
      for (; left > 0 && (!busy || pick(0, 99) < arrivals); --left) {
        add(engine);
        busy = true;
      }
      if (!answers_.empty() && pick(0, 99) < aborts) engine.abort(answers_[index(answers_.size())].id);
      if (pick(0, 199) == 0) engine.clear_prefix_cache();
      busy = engine.step();
      if (testing::Test::HasFailure()) return model.steps;
    }
    const EngineStats stats = engine.stats();
    EXPECT_EQ(stats.blocks_used, config_.batch_buckets.empty() ? 0 : 1) << "pages are lost";
    EXPECT_EQ(stats.running + stats.waiting, 0);
    if (config_.num_kvcache_blocks > 1000) {
      EXPECT_EQ(stats.preemptions, 0u);
    }
    EXPECT_EQ(model.collected, model.drawn);
    for (const Asked& a : answers_) check(a);
    late += model.late;
    preemptions += stats.preemptions;
    from_cache += stats.tokens_from_cache;
    drafted += stats.speculation.drafted();
    accepted += stats.speculation.accepted();
    return model.steps;
  }

  std::uint64_t preemptions = 0, from_cache = 0, aborted = 0, drafted = 0, accepted = 0, rows_checked = 0;
  long late = 0;  // steps whose tokens were read when the next had been launched

 private:
  struct Asked {  // one answer, and what came of it
    std::uint64_t id;
    int index;
    std::vector<int> prompt;
    SamplingParams params;
    std::string text = {};
    std::vector<int> ids = {};
    std::vector<TokenLogprob> logprobs = {};
    RequestOutput whole = {};
    int ended = 0;
  };

  int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  std::size_t index(std::size_t size) { return static_cast<std::size_t>(pick(0, static_cast<int>(size) - 1)); }
  std::vector<int> tokens(int n) {
    std::vector<int> list(static_cast<std::size_t>(n));
    for (int& t : list) t = pick(0, shape_.vocab - 1);
    return list;
  }

  EngineConfig some_config() {
    EngineConfig c;
    c.max_model_len = pick(2, 160);
    c.enable_chunked_prefill = pick(0, 3) > 0;
    if (pick(0, 3) == 0 && c.max_model_len >= 16) c.long_prefill_token_threshold = pick(16, c.max_model_len);
    c.scheduler_delay_factor = pick(0, 3) ? 0 : 0.5;
    c.enable_prefix_caching = pick(0, 2) > 0;
    c.mixed_batches = pick(0, 2) > 0;
    if (pick(0, 2) == 0) c.batch_buckets = default_buckets(shape_.max_seqs);
    c.eos_token_ids = {fake_eos};
    if (pick(0, 2) && shape_.rewinds && !plain_) {
      shape_.draft_layers = pick(0, 2) == 0;
      c.speculative_config.method = shape_.draft_layers > 0 ? "mtp" : "ngram";
      c.speculative_config.num_speculative_tokens = pick(1, pick(0, 3) ? 4 : SpeculativeConfig::most_tokens);
      c.speculative_config.prompt_lookup_min = pick(1, 2);
    }
    const int least = (c.max_model_len + 15) / 16 + (c.batch_buckets.empty() ? 0 : 1);
    c.num_kvcache_blocks = pick(0, 2) ? least + pick(0, 2 * least) : 1024;
    shape_.context_tokens = c.num_kvcache_blocks * 16;
    return c;
  }

  SamplingParams some_params() {
    SamplingParams p;
    p.temperature = pick(0, 2) ? 0.2 * pick(1, 10) : 0;
    p.max_tokens = pick(0, 9) ? pick(1, 60) : 100000;
    p.ignore_eos = pick(0, 3) == 0;
    if (pick(0, 2) == 0) p.top_k = pick(1, 30);
    if (pick(0, 2) == 0) p.top_p = 0.1 * pick(1, 10);
    if (pick(0, 3) == 0) p.min_p = 0.05 * pick(0, 10);
    p.seed = static_cast<std::uint64_t>(pick(0, 1 << 30));
    if (pick(0, 3) == 0) p.n = pick(2, 5);
    if (!plain_) edit(p);
    if (pick(0, 4) == 0) p.stop_token_ids = tokens(pick(1, 2));
    for (int i = pick(0, 2) ? 0 : pick(1, 3); i > 0; --i) {
      std::string& s = p.stop_strings.emplace_back();
      for (int j = pick(1, 10); j > 0; --j) s += pick(0, 1) ? 'a' : 'b';
    }
    return p;
  }
  /// What the host does with logits.
  void edit(SamplingParams& p) {
    if (pick(0, 4) == 0) p.presence_penalty = 0.5 * pick(-4, 4);
    if (pick(0, 4) == 0) p.frequency_penalty = 0.5 * pick(-4, 4);
    if (pick(0, 4) == 0) p.repetition_penalty = 0.5 + 0.25 * pick(0, 6);
    for (int i = pick(0, 9) ? 0 : pick(1, 4); i > 0; --i) p.logit_bias.push_back({pick(0, shape_.vocab - 1), 0.5 * pick(-20, 20)});
    if (pick(0, 3) == 0) p.logprobs = pick(0, 6);
    if (pick(0, 4) == 0) p.min_tokens = pick(0, static_cast<int>(std::min<std::int64_t>(p.max_tokens, 20)));
  }

  void add(LLMEngine& engine) {
    const std::vector<int>& document = documents_[index(3)];
    std::vector<int> prompt(document.begin(), document.begin() + pick(0, static_cast<int>(document.size())));
    const auto more = tokens(pick(0, 3) ? 0 : pick(1, 8));
    prompt.insert(prompt.end(), more.begin(), more.end());
    const SamplingParams params = some_params();
    const std::size_t first = answers_.size();
    const Request request{.prompt = prompt, .params = params, .cache_salt = static_cast<std::uint64_t>(pick(0, 1))};
    const Admission admission = engine.add(request, [this, first](const StreamOutput& piece) {
      Asked& a = answers_[first + static_cast<std::size_t>(piece.index)];
      EXPECT_EQ(piece.id, a.id);
      a.text += piece.text;
      a.ids.insert(a.ids.end(), piece.token_ids.begin(), piece.token_ids.end());
      a.logprobs.insert(a.logprobs.end(), piece.logprobs.begin(), piece.logprobs.end());
      if (!piece.finished) return;
      a.whole = *piece.finished;
      ++a.ended;
    });
    const auto length = static_cast<int>(prompt.size());
    const bool fits = length > 0 && length < config_.max_model_len &&
                      (config_.enable_chunked_prefill || length <= config_.max_num_batched_tokens);
    EXPECT_EQ(admission.ok(), fits) << admission.error.message();
    if (!admission.ok()) return;
    for (int i = 0; i < params.n; ++i) answers_.push_back({admission.id, i, prompt, params});
  }

  void check(const Asked& a) {
    const RequestOutput want = fake::oracle(a.prompt, a.params, a.index, shape_, config_.eos_token_ids, config_.max_model_len);
    EXPECT_EQ(a.ended, 1);
    EXPECT_EQ(a.text, a.whole.text) << "the pieces are not the whole";
    EXPECT_EQ(a.ids, a.whole.token_ids);
    EXPECT_EQ(a.logprobs.size(), a.whole.logprobs.size());
    if (a.whole.finish_reason == FinishReason::aborted) {
      ++aborted;
      ASSERT_LE(a.ids.size(), want.token_ids.size());
      EXPECT_TRUE(std::equal(a.ids.begin(), a.ids.end(), want.token_ids.begin()));
      return;
    }
    EXPECT_EQ(a.ids, want.token_ids);
    EXPECT_EQ(a.text, want.text);
    EXPECT_EQ(a.whole.finish_reason, want.finish_reason);
    EXPECT_EQ(a.whole.num_tokens_output, static_cast<int>(want.token_ids.size()));
    EXPECT_LE(a.whole.ttft, a.whole.latency);
    ASSERT_EQ(a.logprobs.size(), want.logprobs.size());
    for (std::size_t i = 0; i < a.logprobs.size(); ++i) {
      EXPECT_EQ(a.logprobs[i].token, want.logprobs[i].token);
      EXPECT_NEAR(a.logprobs[i].logprob, want.logprobs[i].logprob, 1e-4);
    }
  }

  std::mt19937 random_;
  Tokenizer tokenizer_;
  FakeShape shape_;
  bool plain_ = false;  // nothing that the host must see before the draw
  EngineConfig config_;
  std::vector<int> documents_[3];
  std::vector<Asked> answers_;
};

TEST(EngineSchedules, EveryAnswerIsWhatItIsAlone) {
  const Tokenizer tokenizer = fake::fake_tokenizer();
  const long only = from_environment("ATOM_ENGINE_SEED", -1), wanted = from_environment("ATOM_ENGINE_STEPS", 20000);
  unsigned seed = only >= 0 ? static_cast<unsigned>(only) : std::random_device{}();
  std::uint64_t preemptions = 0, from_cache = 0, aborted = 0, drafted = 0, accepted = 0, rows_checked = 0;
  long steps = 0, schedules = 0, late = 0;
  const auto much = [&] { return preemptions > 20 && from_cache > 500 && aborted > 0 && accepted > 500 && rows_checked > 50000; };
  for (; steps < wanted || (!much() && steps < 10 * wanted); ++seed, ++schedules) {  // few random schedules may all be alike
    SCOPED_TRACE("ATOM_ENGINE_SEED=" + std::to_string(seed));
    Schedule schedule(seed, tokenizer);
    steps += schedule.run();
    preemptions += schedule.preemptions;
    from_cache += schedule.from_cache;
    aborted += schedule.aborted;
    drafted += schedule.drafted;
    accepted += schedule.accepted;
    rows_checked += schedule.rows_checked;
    late += schedule.late;
    if (HasFailure() || only >= 0) break;
  }
  std::printf(
      "%ld schedules, %ld steps, %ld tokens read late, %llu preemptions, %llu of %llu drafts, %llu tokens from the cache, %llu "
      "aborted, %llu rows of the layer that drafts; last seed %u\n",
      schedules, steps, late, static_cast<unsigned long long>(preemptions), static_cast<unsigned long long>(accepted),
      static_cast<unsigned long long>(drafted), static_cast<unsigned long long>(from_cache),
      static_cast<unsigned long long>(aborted), static_cast<unsigned long long>(rows_checked), seed);
  if (only >= 0 || HasFailure()) return;
  EXPECT_TRUE(much()) << "the schedules must be hard enough to mean something";
  EXPECT_GT(drafted, 2 * accepted);
  EXPECT_GT(late, wanted / 10) << "tokens read a step later";
}

TEST(EngineSchedules, RandomAbortsLoseNoPage) {
  const long wanted = from_environment("ATOM_ENGINE_ABORTS", 5000);
  const unsigned seed = static_cast<unsigned>(from_environment("ATOM_ENGINE_SEED", std::random_device{}()));
  SCOPED_TRACE("ATOM_ENGINE_SEED=" + std::to_string(seed));
  std::mt19937 random(seed);
  const auto pick = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
  FakeModel model({.context_tokens = 40 * 16, .defers = pick(0, 1) == 1});
  LLMEngine engine(model, std::nullopt, {.max_model_len = 200});
  std::vector<std::uint64_t> ids;
  for (long aborts = 0; aborts < wanted;) {
    for (int i = pick(0, 3); i > 0; --i) {
      SamplingParams p;
      p.n = pick(0, 3) ? 1 : pick(2, 4);
      ids.push_back(engine.add({std::vector<int>(static_cast<std::size_t>(pick(1, 150)), pick(0, 1)), p}).id);
    }
    for (int i = pick(0, 3); i > 0 && !ids.empty(); --i) {
      const auto victim = ids.begin() + pick(0, static_cast<int>(ids.size()) - 1);
      aborts += engine.abort(*victim);
      ids.erase(victim);
    }
    engine.step();
    ASSERT_LE(engine.stats().blocks_used, engine.stats().blocks_total);
    if (pick(0, 50) > 0) continue;
    for (const std::uint64_t id : ids) aborts += engine.abort(id);
    ids.clear();
    EXPECT_FALSE(engine.step());
    ASSERT_EQ(engine.stats().blocks_used, 0);
    (void)engine.take_finished();
  }
}

}  // namespace
}  // namespace atom::engine
