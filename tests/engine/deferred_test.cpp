// Deferred output: an engine launches a step before it reads the tokens of the one in front, and nobody can tell from the answers.
// Random schedules run so too (engine_random_test.cpp).
#include "atom/engine/engine.hpp"

#include "fake_model.hpp"

namespace atom::engine {
namespace {

using fake::alone;
using fake::FakeModel;
using fake::FakeShape;
using fake::greedy;
using fake::prompt_of;
using Ids = std::vector<int>;

struct Deferred : testing::Test {
  FakeModel model{{.defers = true}};
  LLMEngine engine{model, std::nullopt};

  RequestOutput answer(const Ids& prompt, const SamplingParams& p) {
    const Prompt prompts[] = {prompt};
    return engine.generate(prompts, p).front();
  }
};

TEST_F(Deferred, ReadsTokensAStepLater) {
  std::size_t told = 0;
  const Ids want = alone(prompt_of(5), greedy(20));
  ASSERT_TRUE(engine
                  .add({prompt_of(5), greedy(20)},
                       [&](const StreamOutput& piece) {
                         for (const int t : piece.token_ids) EXPECT_EQ(t, want[told++]);
                       })
                  .ok());
  for (std::size_t step = 1; step <= 20; ++step) {
    EXPECT_TRUE(engine.step());
    EXPECT_EQ(told, step - 1);
  }
  EXPECT_FALSE(engine.step());
  EXPECT_EQ(told, 20u);
  EXPECT_EQ(model.steps, 20) << "an end that is known beforehand costs no step";
  EXPECT_EQ(model.late, 19);
}

TEST_F(Deferred, AnEndThatWasNotKnownWastesOneRow) {
  SamplingParams p = greedy(40);
  const Ids text = alone(prompt_of(30), p);
  p.stop_token_ids = {text[17]};
  const Ids want = alone(prompt_of(30), p);
  const RequestOutput o = answer(prompt_of(30), p);
  EXPECT_EQ(o.token_ids, want);
  EXPECT_EQ(o.reason(), "stop_" + std::to_string(text[17]));
  EXPECT_EQ(model.steps, static_cast<long>(want.size()) + 1);
  EXPECT_EQ(engine.stats().blocks_used, 0);
  EXPECT_EQ(engine.stats().tokens_computed, 30 + want.size() - 1) << "the wasted one is no work";
  EXPECT_FALSE(engine.step());
  EXPECT_EQ(model.collected, model.drawn);
}

TEST_F(Deferred, WaitsForRequestsThatTheHostWorksOn) {
  const Ids first = alone(prompt_of(5), greedy(30)), second = alone(prompt_of(9), greedy(4));
  for (const bool edits : {false, true}) {
    SamplingParams seen = greedy(4);
    if (edits)
      seen.logit_bias = {{3, 0}};
    else
      seen.logprobs = 1;
    ASSERT_TRUE(engine.add({prompt_of(5), greedy(30)}).ok());
    for (int i = 0; i < 5; ++i) engine.step();
    const long drawn = model.drawn;
    ASSERT_TRUE(engine.add({prompt_of(9), seen}).ok());
    for (int i = 0; i < 4; ++i) engine.step();
    EXPECT_EQ(model.drawn, drawn) << "while it runs";
    EXPECT_EQ(model.collected, drawn);
    while (engine.step()) {}
    EXPECT_GT(model.drawn, drawn) << "behind it";
    const auto outputs = engine.take_finished();
    ASSERT_EQ(outputs.size(), 2u);
    EXPECT_EQ(outputs[0].token_ids, second);
    EXPECT_EQ(outputs[1].token_ids, first);
  }
}

TEST_F(Deferred, AnAbortLeavesNothingBehind) {
  const auto id = engine.add({prompt_of(5), greedy(30)}).id;
  for (int i = 0; i < 4; ++i) engine.step();
  EXPECT_GT(model.drawn, model.collected);
  EXPECT_TRUE(engine.abort(id));
  EXPECT_FALSE(engine.step());
  EXPECT_EQ(model.drawn, model.collected);
  const Ids want = alone(prompt_of(5), greedy(3));
  EXPECT_EQ(engine.take_finished().front().token_ids, want) << "what was known";
  EXPECT_EQ(engine.stats().blocks_used, 0);
}

TEST_F(Deferred, AnEngineThatGoesWaitsForItsStep) {
  ASSERT_TRUE(engine.add({prompt_of(5), greedy(30)}).ok());
  engine.step();
  engine.step();
  EXPECT_GT(model.drawn, model.collected);
  engine = LLMEngine(model, std::nullopt);
  EXPECT_EQ(model.drawn, model.collected);
}

// Pages are named when all their tokens are known, and no earlier.
TEST_F(Deferred, NamesTheSamePages) {
  FakeModel waits;
  LLMEngine other(waits, std::nullopt);
  for (const int length : {1, 12, 28, 29, 30}) {
    const Ids prompt = prompt_of(20, length);
    const Ids text = answer(prompt, greedy(length)).token_ids;
    const Prompt prompts[] = {prompt};
    ASSERT_EQ(other.generate(prompts, greedy(length)).front().token_ids, text);
    Ids longer = prompt;
    longer.insert(longer.end(), text.begin(), text.end());
    longer.push_back(3);
    const Prompt again[] = {longer};
    const auto found = answer(longer, greedy(3));
    EXPECT_EQ(found.num_cached_tokens, other.generate(again, greedy(3)).front().num_cached_tokens) << length;
    EXPECT_EQ(found.token_ids, alone(longer, greedy(3)));
  }
}

TEST_F(Deferred, AnswersToOnePromptShareIt) {
  SamplingParams p = greedy(6);
  p.temperature = 1;
  p.seed = 1;
  p.n = 3;
  const Prompt prompts[] = {prompt_of(40)};
  const auto outputs = engine.generate(prompts, p);
  ASSERT_EQ(outputs.size(), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(outputs[static_cast<std::size_t>(i)].token_ids, alone(prompt_of(40), p, i));
  EXPECT_EQ(engine.stats().tokens_from_cache, 2 * 32u);
}

}  // namespace
}  // namespace atom::engine
