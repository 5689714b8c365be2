// Drafts: what is proposed, what a step verifies, and that no answer shows it.
#include <gtest/gtest.h>
#include <random>

#include "atom/core/error.hpp"
#include "atom/engine/engine.hpp"

#include "checkpoints.hpp"
#include "watched_drafts.hpp"

namespace atom::engine {
namespace {

using fake::FakeModel;
using fake::FakeShape;
using Ids = std::vector<int>;

Ids look_up(const Ids& tokens, int min, int max, std::size_t count) {
  Ids drafts(count);
  drafts.resize(static_cast<std::size_t>(NgramProposer(min, max).look_up(tokens, drafts)));
  return drafts;
}

TEST(NgramProposer, ProposesWhatFollowedTheLongestLatestMatch) {
  EXPECT_EQ(look_up({1, 2, 3, 4, 9, 1, 2}, 1, 4, 3), (Ids{3, 4, 9}));
  EXPECT_EQ(look_up({5, 1, 2, 7, 6, 1, 2, 8, 5, 1, 2}, 1, 4, 1), (Ids{7})) << "three tokens match there, two later";
  EXPECT_EQ(look_up({5, 1, 2, 7, 5, 1, 2, 8, 5, 1, 2}, 1, 4, 1), (Ids{8})) << "of equal ones the latest";
  EXPECT_EQ(look_up({5, 1, 2, 7, 6, 1, 2, 8, 5, 1, 2}, 1, 2, 1), (Ids{8})) << "no more than two are looked up";
  EXPECT_EQ(look_up({1, 2, 3, 2}, 2, 4, 4), Ids()) << "one token is too little";
  EXPECT_EQ(look_up({1, 2, 3, 2}, 1, 4, 4), (Ids{3, 2, 3, 2})) << "a copy runs into itself";
  EXPECT_EQ(look_up({4, 4, 4}, 1, 9, 5), (Ids{4, 4, 4, 4, 4}));
  EXPECT_EQ(look_up({4}, 1, 4, 2), Ids());
  EXPECT_EQ(look_up({}, 1, 4, 2), Ids());
  EXPECT_EQ(look_up({1, 2, 3}, 1, 4, 2), Ids());
}

// The definition, by trying everything.
TEST(NgramProposer, AgreesWithItsDefinition) {
  std::mt19937 random(1);
  const auto pick = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
  int found = 0;
  for (int round = 0; round < 3000; ++round) {
    Ids tokens(static_cast<std::size_t>(pick(0, round % 4 ? 30 : 300)));
    const int words = round % 4 ? 3 : 40;
    for (int& t : tokens) t = pick(0, words);
    const int min = pick(1, 4), max = min + pick(0, 4), n = static_cast<int>(tokens.size());
    Ids want;
    for (int length = max; length >= min && want.empty(); --length)
      for (int at = n - 1; at >= length && want.empty(); --at) {
        if (!std::equal(tokens.end() - length, tokens.end(), tokens.begin() + at - length)) continue;
        Ids text = tokens;
        for (int i = 0; i < 6; ++i) text.push_back(text[static_cast<std::size_t>(at + i)]);
        want.assign(text.begin() + n, text.end());
      }
    ASSERT_EQ(look_up(tokens, min, max, 6), want);
    found += !want.empty();
  }
  EXPECT_GT(found, 500);
}

/// Proposes what a function of the tokens so far says.
template <class Guess> class Guesser final : public Proposer {
 public:
  explicit Guesser(Guess guess, int vocab = 0) : guess_(guess), vocab_(vocab) {}
  [[nodiscard]] int vocab() const noexcept override { return vocab_; }
  void propose(const Batch&, std::span<Drafting> step) noexcept override {
    for (Drafting& d : step)
      if (!d.drafts.empty()) d.drafted = guess_(d.tokens, d.drafts);
  }

 private:
  Guess guess_;
  int vocab_;
};
template <class Guess> std::unique_ptr<Proposer> guesser(Guess guess, int vocab = 0) {
  return std::make_unique<Guesser<Guess>>(guess, vocab);
}

EngineConfig with_drafts(int drafts, EngineConfig config = {}) {
  config.eos_token_ids = {fake::fake_eos};
  config.speculative_config.method = "ngram";
  config.speculative_config.num_speculative_tokens = drafts;
  return config;
}

/// The engine's answer beside what it is without drafts.
void expect_oracle(const RequestOutput& got, const Ids& prompt, const SamplingParams& p, const FakeShape& shape) {
  const RequestOutput want = fake::oracle(prompt, p, got.index, shape, {fake::fake_eos}, shape.max_position);
  EXPECT_EQ(got.token_ids, want.token_ids);
  EXPECT_EQ(got.text, want.text);
  EXPECT_EQ(got.finish_reason, want.finish_reason);
  ASSERT_EQ(got.logprobs.size(), want.logprobs.size());
  for (std::size_t i = 0; i < got.logprobs.size(); ++i) {
    EXPECT_EQ(got.logprobs[i].token, want.logprobs[i].token) << i;
    EXPECT_NEAR(got.logprobs[i].logprob, want.logprobs[i].logprob, 1e-4) << i;
  }
}

/// A drafter that is told the answer: every draft is right, however long the answer would go on without its end.
std::unique_ptr<Proposer> prophet(const Ids& prompt, SamplingParams p, const FakeShape& shape) {
  p.ignore_eos = true;
  p.stop_strings.clear();
  p.stop_token_ids.clear();
  p.logprobs = -1;
  p.max_tokens = 1000;
  Ids text = prompt;
  const Ids answer = fake::oracle(prompt, p, 0, shape, {}, shape.max_position).token_ids;
  text.insert(text.end(), answer.begin(), answer.end());
  return guesser([text](std::span<const int> tokens, std::span<int> drafts) noexcept {
    const int count = std::min(static_cast<int>(drafts.size()), static_cast<int>(text.size() - tokens.size()));
    std::copy_n(text.begin() + static_cast<std::ptrdiff_t>(tokens.size()), count, drafts.begin());
    return count;
  });
}

struct Ending {
  const char* name;
  SamplingParams params;
  FinishReason reason;
};

std::vector<Ending> endings() {
  SamplingParams p;
  p.temperature = 1.5;
  p.seed = 5;
  p.max_tokens = 200;
  p.logprobs = 2;
  std::vector<Ending> all(5, {"", p, FinishReason::none});
  all[0] = {"eos", p, FinishReason::eos};
  all[1] = {"stop token", p, FinishReason::stop_token};
  all[1].params.ignore_eos = true;
  all[1].params.stop_token_ids = {7};
  all[2] = {"stop string", p, FinishReason::stop_string};
  all[2].params.stop_strings = {"abbab"};
  all[2].params.ignore_eos = true;
  all[3] = {"max tokens", p, FinishReason::max_tokens};
  all[3].params.ignore_eos = true;
  all[3].params.max_tokens = 15;
  all[4] = {"context", p, FinishReason::context_end};
  all[4].params.ignore_eos = true;
  all[4].params.max_tokens = 10000;
  return all;
}

// All drafts are right, past every end there is: an accepted run is cut where the answer ends without drafts.
TEST(Speculation, BAD48AcceptedRunsEndWhereAnswersDo) {
  FakeShape shape;
  shape.max_position = 100;
  const Ids prompt = {1, 2, 3};
  for (const Ending& e : endings())
    for (int seed = 0; seed < 8; ++seed)
      for (const int k : {1, 2, 5, 16}) {
        SCOPED_TRACE(std::string(e.name) + ", k " + std::to_string(k) + ", seed " + std::to_string(seed));
        SamplingParams p = e.params;
        p.seed = seed;
        FakeModel model(shape);
        LLMEngine engine(model, fake::fake_tokenizer(), with_drafts(k), prophet(prompt, p, shape));
        Ids streamed;
        std::size_t logprobs = 0;
        RequestOutput whole;
        ASSERT_TRUE(engine
                        .add({.prompt = prompt, .params = p},
                             [&](const StreamOutput& o) {
                               streamed.insert(streamed.end(), o.token_ids.begin(), o.token_ids.end());
                               logprobs += o.logprobs.size();
                               if (o.finished) whole = *o.finished;
                             })
                        .ok());
        while (engine.step()) {}
        expect_oracle(whole, prompt, p, shape);
        EXPECT_EQ(whole.finish_reason, e.reason);
        EXPECT_EQ(streamed, whole.token_ids);
        EXPECT_EQ(logprobs, 3 * whole.token_ids.size());
        EXPECT_EQ(engine.stats().blocks_used, 0);
        EXPECT_EQ(engine.stats().speculation.acceptance_rate(), whole.num_tokens_drafted > 0 ? 1 : 0);
        const auto answer = static_cast<long>(whole.token_ids.size());
        EXPECT_LE(model.steps, 1 + (answer - 1 + k) / (k + 1)) << "prefill, then k + 1 tokens a step";
      }
}

// Edits, penalties and forbidden tokens at every row, where drafts are right, wrong, or right and then wrong.
TEST(Speculation, EveryRowIsEditedAsIfTheDraftsBeforeItWereDrawn) {
  FakeShape shape;
  SamplingParams p;
  p.max_tokens = 60;
  p.presence_penalty = 1.5;
  p.frequency_penalty = 0.5;
  p.repetition_penalty = 1.3;
  p.logit_bias = {{3, 2}, {9, -4}};
  p.min_tokens = 20;
  p.stop_token_ids = {4, 5};
  p.logprobs = 3;
  p.top_k = 12;
  p.top_p = 0.9;
  const Ids prompt = {4, 4, 9, 1, 2};
  for (const double temperature : {0.0, 1.2})
    for (int wrong_every = 1; wrong_every <= 6; ++wrong_every)
      for (int seed = 0; seed < 5; ++seed) {
        SCOPED_TRACE(std::to_string(temperature) + ", wrong every " + std::to_string(wrong_every));
        p.temperature = temperature;
        p.seed = seed;
        FakeModel model(shape);
        const RequestOutput want = fake::oracle(prompt, p, 0, shape, {fake::fake_eos}, shape.max_position);
        Ids text = prompt;
        text.insert(text.end(), want.token_ids.begin(), want.token_ids.end());
        auto mostly_right = guesser([=, calls = 0](std::span<const int> tokens, std::span<int> drafts) mutable noexcept {
          for (std::size_t i = 0; i < drafts.size(); ++i) {
            const std::size_t at = tokens.size() + i;
            drafts[i] = at < text.size() ? text[at] : 0;
            if (++calls % wrong_every == 0) drafts[i] = (drafts[i] + calls) % shape.vocab;
          }
          return static_cast<int>(drafts.size());
        });
        LLMEngine engine(model, fake::fake_tokenizer(), with_drafts(4), std::move(mostly_right));
        const Prompt prompts[] = {prompt};
        expect_oracle(engine.generate(prompts, p).front(), prompt, p, shape);
        const SpeculationStats s = engine.stats().speculation;
        EXPECT_GT(s.drafted(), s.accepted());
        if (wrong_every > 1) {
          EXPECT_GT(s.accepted(), 0u);
        }
      }
}

TEST(Speculation, BAD48DraftsOutsideTheVocabularyAreCutOff) {
  FakeShape shape;
  SamplingParams p;
  p.temperature = 0;
  p.max_tokens = 40;
  p.ignore_eos = true;
  const Ids prompt = {1, 2, 3};
  for (const int wrong : {-1, shape.vocab, 1 << 30, -(1 << 30)}) {
    FakeModel model(shape);
    auto bad = guesser([=](std::span<const int>, std::span<int> drafts) noexcept {
      for (int& d : drafts) d = 1;
      drafts[drafts.size() / 2] = wrong;
      return 1000;  // which is more than there is room for
    });
    LLMEngine engine(model, fake::fake_tokenizer(), with_drafts(4), std::move(bad));
    const Prompt prompts[] = {prompt};
    p.seed = 0;
    expect_oracle(engine.generate(prompts, p).front(), prompt, p, shape);
    EXPECT_EQ(engine.stats().speculation.offered[3] + engine.stats().speculation.offered[4], 0u);
    EXPECT_GT(engine.stats().speculation.offered[2], 0u);
  }
}

TEST(Speculation, BAD48AllRejected) {
  FakeShape shape;
  SamplingParams p;
  p.temperature = 0.7;
  p.seed = 3;
  p.max_tokens = 50;
  p.ignore_eos = true;
  const Ids prompt = {1, 2, 3};
  const Ids answer = fake::oracle(prompt, p, 0, shape, {}, shape.max_position).token_ids;
  FakeModel model(shape);
  auto never = guesser([=](std::span<const int> tokens, std::span<int> drafts) noexcept {
    for (int& d : drafts) d = (answer[tokens.size() - prompt.size()] + 1) % shape.vocab;
    return static_cast<int>(drafts.size());
  });
  LLMEngine engine(model, fake::fake_tokenizer(), with_drafts(3), std::move(never));
  const Prompt prompts[] = {prompt};
  const auto out = engine.generate(prompts, p);
  expect_oracle(out.front(), prompt, p, shape);
  const SpeculationStats s = engine.stats().speculation;
  EXPECT_EQ(s.accepted(), 0u);
  EXPECT_EQ(s.forwards(), 49u);
  EXPECT_EQ(s.offered[3], 46u) << "and 2, 1 and none behind the last tokens but one";
  EXPECT_EQ(out.front().num_tokens_drafted, 46 * 3 + 2 + 1);
}

TEST(Speculation, BAD48WhatCannotWorkIsRefused) {
  FakeModel model;
  const auto refused = [&](EngineConfig c, const std::string& message, std::unique_ptr<Proposer> proposer = nullptr) {
    test::expect_error([&] { LLMEngine(model, std::nullopt, c, std::move(proposer)); }, message);
  };
  const auto none = [](std::span<const int>, std::span<int>) noexcept { return 0; };
  refused(with_drafts(0), "num_speculative_tokens: must be between 1 and 16, not 0");
  refused(with_drafts(17), "num_speculative_tokens: must be between 1 and 16, not 17");
  refused(with_drafts(-1), "num_speculative_tokens: must be between 1 and 16, not -1");
  EngineConfig c = with_drafts(2);
  c.speculative_config.prompt_lookup_min = 5;
  refused(c, "prompt_lookup_min: must be between 1 and 4, not 5");
  c.speculative_config.prompt_lookup_max = 0;
  refused(c, "prompt_lookup_max: must be 1 or more, not 0");
  c = with_drafts(2);
  c.speculative_config.method = "psychic";
  refused(c, "speculative_config.method: \"psychic\" is unknown; use ngram");
  refused(with_drafts(2), "drafts have a vocabulary of 27, the model one of 26; use a draft model with the same tokenizer",
          guesser(none, 27));
  EXPECT_NO_THROW(LLMEngine(model, std::nullopt, with_drafts(2), guesser(none, 26)));
  refused({}, "speculative_config.method: is empty, and there is a proposer", guesser(none));

  struct FewLogits final : StepModel {
    float* forward(const Batch&) noexcept override { return nullptr; }
    void sample(const float*, const kernels::SampleParams*, int*, int) noexcept override {}
    int vocab() const override { return 26; }
    int max_position() const override { return 64; }
    int context_tokens() const override { return 64; }
    int max_rows() const override { return 64; }
    int max_seqs() const override { return 4; }
    int max_logits() const override { return 4; }
  } few;
  test::expect_error([&] { LLMEngine(few, std::nullopt, with_drafts(2)); },
                     "num_speculative_tokens: 2 for each of 4 sequences need 12 rows of logits per step, and the model was "
                     "prepared for 4");
}

EngineConfig with_layer(int drafts, EngineConfig config = {}) {
  config = with_drafts(drafts, config);
  config.speculative_config.method = "mtp";
  return config;
}

// Whoever computed a page: its rows of the drafting layer are what the text of everybody who finds it says, also where texts part
// with the page's end, and where the one who computed it ended in that very step.
TEST(MtpProposer, PagesOfThePrefixCacheHoldTheDraftersRows) {
  const FakeShape shape{.draft_layers = 1};
  FakeModel model(shape);
  std::uint64_t rows = 0;
  const EngineConfig config = with_layer(3);
  LLMEngine engine(model, fake::fake_tokenizer(), config, std::make_unique<fake::WatchedDrafts>(config, model, rows));
  SamplingParams p;
  p.temperature = 0;
  p.ignore_eos = true;
  p.seed = 0;
  Ids text(48);
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<int>(i * 5 % 23);
  const auto ask = [&](int next, int answer) {
    Ids prompt = text;
    prompt.push_back(next);
    p.max_tokens = answer;
    const Prompt prompts[] = {prompt};
    const auto before = engine.stats().tokens_from_cache;
    expect_oracle(engine.generate(prompts, p).front(), prompt, p, shape);
    return static_cast<int>(engine.stats().tokens_from_cache - before);
  };
  EXPECT_EQ(ask(1, 1), 0);
  EXPECT_EQ(ask(1, 30), 48) << "an answer of one token ends with its prompt's step";
  EXPECT_EQ(ask(2, 30), 32) << "the third page was made for another token behind it";
  EXPECT_EQ(ask(2, 1), 48);
  EXPECT_EQ(ask(1, 1), 48);
  EXPECT_GT(rows, 5u * 49);
}

TEST(MtpProposer, DraftsAsManyAsAreWantedWhereverAPageEnds) {
  for (const int k : {1, 2, 4, 16}) {
    const FakeShape shape{.predictable = true, .draft_layers = 1};
    FakeModel model(shape);
    std::uint64_t rows = 0;
    const EngineConfig config = with_layer(k);
    LLMEngine engine(model, fake::fake_tokenizer(), config, std::make_unique<fake::WatchedDrafts>(config, model, rows));
    SamplingParams p;
    p.temperature = 0;
    p.ignore_eos = true;
    p.max_tokens = 120;
    p.seed = 0;
    const Ids prompt = {1, 2, 3};
    const Prompt prompts[] = {prompt};
    const auto out = engine.generate(prompts, p);
    expect_oracle(out.front(), prompt, p, shape);
    const SpeculationStats s = engine.stats().speculation;
    EXPECT_GT(s.accepted(), 20u);
    EXPECT_LE(s.forwards() - s.offered[static_cast<std::size_t>(k)], 16u) << "fewer only near max_tokens";
    EXPECT_GE(model.drafts, model.steps) << "every step has the layer's rows, also without drafts";
    EXPECT_LE(model.drafts, model.steps * k);
  }
}

TEST(MtpProposer, NeedsAModelWithTheLayer) {
  FakeModel model;
  test::expect_error([&] { LLMEngine(model, std::nullopt, with_layer(2)); },
                     "speculative_config.method: drafts come of 1 layer of the model, which was loaded with 0; set "
                     "ExecutorOptions::draft_layers, or use ngram");
}

TEST(Speculation, RepetitiveTextTakesFewerSteps) {
  FakeShape shape;
  shape.predictable = true;
  SamplingParams p;
  p.temperature = 0;
  p.max_tokens = 200;
  p.ignore_eos = true;
  p.seed = 0;
  const Prompt prompts[] = {Ids{1, 2, 3}};
  FakeModel slow(shape), fast(shape);
  LLMEngine without(slow, fake::fake_tokenizer());
  EngineConfig config = with_drafts(3);
  config.speculative_config.prompt_lookup_min = 1;
  LLMEngine with(fast, fake::fake_tokenizer(), config);
  EXPECT_EQ(without.generate(prompts, p).front().token_ids, with.generate(prompts, p).front().token_ids);
  EXPECT_LT(fast.steps * 3, slow.steps * 2);
  const SpeculationStats s = with.stats().speculation;
  EXPECT_TRUE(s.enabled);
  EXPECT_FALSE(without.stats().speculation.enabled);
  EXPECT_EQ(without.stats().speculation.forwards(), 0u);
  EXPECT_EQ(s.forwards(), static_cast<std::uint64_t>(fast.steps - 1));
  EXPECT_NEAR(s.tokens_per_forward(), 199.0 / static_cast<double>(fast.steps - 1), 1e-12);
}

TEST(SpeculationStats, CountByHand) {
  SpeculationStats s;
  s.count(0, 0);
  s.count(3, 0);
  s.count(3, 3);
  s.count(2, 1);
  EXPECT_EQ(s.forwards(), 4u);
  EXPECT_EQ(s.drafted(), 8u);
  EXPECT_EQ(s.accepted(), 4u);
  EXPECT_DOUBLE_EQ(s.acceptance_rate(), 0.5);
  EXPECT_DOUBLE_EQ(s.tokens_per_forward(), 2);
  EXPECT_DOUBLE_EQ(s.acceptance_at(0), 2.0 / 3);
  EXPECT_DOUBLE_EQ(s.acceptance_at(1), 1.0 / 3);
  EXPECT_DOUBLE_EQ(s.acceptance_at(2), 1.0 / 2);
  EXPECT_DOUBLE_EQ(s.acceptance_at(3), 0);
  EXPECT_DOUBLE_EQ(SpeculationStats().tokens_per_forward(), 0);
  SpeculationStats later = s;
  later.count(3, 2);
  later -= s;
  EXPECT_EQ(later.forwards(), 1u);
  EXPECT_EQ(later.accepted(), 2u);
}

/// Logits that depend on the last token alone, so that the distribution of answers can be written down.
class Markov final : public StepModel {
 public:
  static constexpr int words = 5;
  static float logit(int last, int next) {
    return 0.4f * static_cast<float>((last * 3 + next * next) % 7) - 0.3f * static_cast<float>(next);
  }
  float* forward(const Batch& b) noexcept override {
    for (int l = 0; l < b.logits; ++l)
      for (int v = 0; v < words; ++v) logits_[static_cast<std::size_t>(l * words + v)] = logit(b.tokens[b.logit_rows[l]], v);
    return logits_.data();
  }
  void sample(const float* logits, const kernels::SampleParams* params, int* tokens, int rows) noexcept override {
    impl<kernels::sample, Ref>::run({}, {logits, params, sorted_.data(), order_.data(), tokens, rows, words, words});
  }
  int vocab() const override { return words; }
  int max_position() const override { return 16; }
  int context_tokens() const override { return 16 * 64; }
  int max_rows() const override { return 512; }
  int max_seqs() const override { return 64; }
  int max_logits() const override { return 512; }

 private:
  std::vector<float> logits_ = std::vector<float>(512 * words), sorted_ = logits_;
  std::vector<int> order_ = std::vector<int>(512 * words);
};

// Probability of each next token by the definition: bias, presence penalty, temperature, top_k, top_p.
std::vector<double> exact(int last, std::span<const int> generated, const SamplingParams& p) {
  std::vector<std::pair<double, int>> by(Markov::words);
  for (int v = 0; v < Markov::words; ++v) {
    double x = static_cast<double>(Markov::logit(last, v));
    if (std::ranges::find(generated, v) != generated.end()) x -= p.presence_penalty;
    by[static_cast<std::size_t>(v)] = {-x, v};
  }
  std::ranges::sort(by);
  if (p.top_k > 0) by.resize(static_cast<std::size_t>(p.top_k));
  double total = 0, cumulative = 0;
  for (auto& [x, v] : by) total += x = std::exp(-x / p.temperature);
  std::size_t kept = 0;
  while (kept < by.size() && (kept == 0 || cumulative < p.top_p * total)) cumulative += by[kept++].first;
  std::vector<double> out(Markov::words);
  for (std::size_t i = 0; i < kept; ++i) out[static_cast<std::size_t>(by[i].second)] = by[i].first / cumulative;
  return out;
}

// Answers of four tokens, counted, against the product of conditional probabilities. The seeds are fixed: it passes or it does not.
// The bound is eight standard deviations of chi square, so that a right rule passes with any seeds.
TEST(Speculation, AnswersAreDistributedAsTheModelSays) {
  SamplingParams filtered;
  filtered.temperature = 0.8;
  filtered.top_k = 4;
  filtered.top_p = 0.9;
  filtered.presence_penalty = 0.7;
  for (const SamplingParams& asked : {SamplingParams{}, filtered})
    for (const int drafted : {0, 1, 4}) {  // a likely token, one less likely, the least
      SCOPED_TRACE(drafted);
      constexpr int length = 4, cells = 5 * 5 * 5 * 5, answers = 20000;
      Markov model;
      auto always = guesser([=](std::span<const int>, std::span<int> drafts) noexcept {
        std::ranges::fill(drafts, drafted);
        return static_cast<int>(drafts.size());
      });
      EngineConfig config = with_drafts(2);
      config.eos_token_ids = {};
      LLMEngine engine(model, std::nullopt, config, std::move(always));
      std::vector<Prompt> prompts(answers, Ids{2});
      std::vector<SamplingParams> params(answers, asked);
      for (std::size_t i = 0; i < params.size(); ++i) {
        params[i].max_tokens = length;
        params[i].seed = 1000 + i;
      }
      std::vector<double> seen(cells), want(cells);
      for (const RequestOutput& o : engine.generate(prompts, params)) {
        ASSERT_EQ(o.token_ids.size(), std::size_t{length});
        int cell = 0;
        for (const int t : o.token_ids) cell = cell * 5 + t;
        ++seen[static_cast<std::size_t>(cell)];
      }
      for (int cell = 0; cell < cells; ++cell) {
        const Ids text = {cell / 125, cell / 25 % 5, cell / 5 % 5, cell % 5};
        double p = answers;
        for (std::size_t i = 0; i < 4; ++i)
          p *= exact(i ? text[i - 1] : 2, std::span(text).first(i), asked)[static_cast<std::size_t>(text[i])];
        want[static_cast<std::size_t>(cell)] = p;
      }
      double chi = 0, rare_seen = 0, rare_want = 0;
      int kinds = 0;
      const auto add = [&](double s, double w) { chi += (s - w) * (s - w) / w, ++kinds; };
      for (std::size_t i = 0; i < want.size(); ++i) {
        if (want[i] == 0) {
          EXPECT_EQ(seen[i], 0) << "a token that the filters drop, in cell " << i;
        } else if (want[i] >= 5) {
          add(seen[i], want[i]);
        } else {
          rare_seen += seen[i], rare_want += want[i];
        }
      }
      if (rare_want >= 5) add(rare_seen, rare_want);
      EXPECT_GT(kinds, 40);
      const double degrees = kinds - 1;
      EXPECT_LT(chi, degrees + 8 * std::sqrt(2 * degrees));
      const SpeculationStats s = engine.stats().speculation;
      EXPECT_GT(s.drafted(), s.accepted());
      EXPECT_GT(s.accepted(), 100u);
    }
}

}  // namespace
}  // namespace atom::engine
