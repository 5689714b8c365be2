#include "atom/engine/engine.hpp"

#include <limits>
#include <stdexcept>

#include "atom/core/error.hpp"

#include "fake_model.hpp"
#include "temp_dir.hpp"

namespace atom::engine {
namespace {

using fake::alone;
using fake::fake_eos;
using fake::fake_other_end;
using fake::FakeModel;
using fake::FakeShape;
using fake::greedy;
using fake::prompt_of;
using Ids = std::vector<int>;

struct EngineFixture : testing::Test {
  FakeModel model;
  EngineConfig config{.eos_token_ids = {fake_eos}, .seed = 1};
  LLMEngine make() { return LLMEngine(model, fake::fake_tokenizer(), config); }
};
using Engine = EngineFixture;

TEST_F(Engine, GeneratesInTheOrderOfSubmission) {
  LLMEngine engine = make();
  const Prompt prompts[] = {prompt_of(40), prompt_of(3), Ids{}, std::string("abba"), prompt_of(20)};
  std::vector<SamplingParams> params = {greedy(3), greedy(9), greedy(1), greedy(5), greedy(1)};
  params[1].n = 2;
  const auto outputs = engine.generate(prompts, params);
  ASSERT_EQ(outputs.size(), 6u);
  EXPECT_EQ(outputs[0].token_ids, alone(prompt_of(40), params[0]));
  EXPECT_EQ(outputs[1].token_ids, alone(prompt_of(3), params[1]));
  EXPECT_EQ(outputs[2].token_ids, outputs[1].token_ids) << "greedy answers do not differ";
  EXPECT_EQ(outputs[1].index, 0);
  EXPECT_EQ(outputs[2].index, 1);
  EXPECT_EQ(outputs[1].id, outputs[2].id);
  EXPECT_EQ(outputs[3].reason(), "refused: prompt: is empty; give at least one token");
  EXPECT_EQ(outputs[4].num_tokens_output, 5);
  EXPECT_EQ(outputs[5].num_tokens_input, 20);
  EXPECT_THROW((void)engine.generate(prompts, std::span(params).first(2)), Error);
}

TEST_F(Engine, TimesAddUp) {
  LLMEngine engine = make();
  const Prompt prompts[] = {prompt_of(8)};
  const auto output = engine.generate(prompts, greedy(10)).front();
  EXPECT_GT(output.ttft, 0);
  EXPECT_LE(output.ttft, output.latency);
  EXPECT_DOUBLE_EQ(output.tpot, (output.latency - output.ttft) / 9);
  EXPECT_EQ(output.reason(), "max_tokens");
  const auto one = engine.generate(prompts, greedy(1)).front();
  EXPECT_EQ(one.tpot, 0);
  EXPECT_EQ(one.ttft, one.latency);
}

TEST_F(Engine, StreamsWhatItReturns) {
  LLMEngine engine = make();
  std::string text;
  Ids ids;
  int ends = 0;
  const auto admission = engine.add({prompt_of(5), greedy(20)}, [&](const StreamOutput& piece) {
    text += piece.text;
    ids.insert(ids.end(), piece.token_ids.begin(), piece.token_ids.end());
    EXPECT_EQ(piece.token_ids.size(), 1u);
    if (!piece.finished) return;
    ++ends;
    EXPECT_EQ(piece.finished->text, text);
    EXPECT_EQ(piece.finished->token_ids, ids);
  });
  ASSERT_TRUE(admission.ok());
  while (engine.step()) EXPECT_EQ(ends, 0);
  EXPECT_EQ(ends, 1);
  EXPECT_EQ(ids, alone(prompt_of(5), greedy(20)));
  EXPECT_TRUE(engine.take_finished().empty());
}

TEST_F(Engine, KeepsAnswersNobodyListensTo) {
  LLMEngine engine = make();
  const auto a = engine.add({prompt_of(5), greedy(20)}), b = engine.add({prompt_of(6), greedy(2)});
  while (engine.step()) {}
  const auto outputs = engine.take_finished();
  ASSERT_EQ(outputs.size(), 2u);
  EXPECT_EQ(outputs[0].id, b.id);
  EXPECT_EQ(outputs[1].id, a.id);
  EXPECT_TRUE(engine.take_finished().empty());
}

// --- ends ---

TEST_F(Engine, EndsForEveryDocumentedReason) {
  LLMEngine engine = make();
  const Prompt prompts[] = {prompt_of(5)};
  const auto with = [&](auto edit) {
    SamplingParams p = greedy(40);
    edit(p);
    return engine.generate(prompts, p).front();
  };
  const auto force = [](SamplingParams& p, int token) { p.logit_bias.push_back({token, 100}); };
  auto o = with([&](auto& p) { p.ignore_eos = false, force(p, fake_eos); });
  EXPECT_EQ(o.reason(), "eos");
  EXPECT_EQ(o.token_ids, Ids{fake_eos});
  EXPECT_EQ(o.text, "");
  o = with([&](auto& p) { force(p, fake_eos); });
  EXPECT_EQ(o.reason(), "max_tokens") << "ignore_eos";
  o = with([&](auto& p) { p.stop_token_ids = {3}, force(p, 3); });
  EXPECT_EQ(o.reason(), "stop_3");
  EXPECT_EQ(o.text, "") << "the token that ends a text is no part of it";
  o = with([&](auto& p) { p.min_tokens = 4, p.stop_token_ids = {3}, force(p, 3); });
  EXPECT_EQ(o.num_tokens_output, 5);
  EXPECT_EQ(std::ranges::count(o.token_ids, 3), 1);
  o = with([&](auto& p) { p.stop_strings = {"aaaaa"}, force(p, 0); });
  EXPECT_EQ(o.reason(), "stop_sequence");
  EXPECT_EQ(o.token_ids, (Ids{0, 0, 0, 0, 0}));
  EXPECT_EQ(o.text, "");
  o = with([&](auto& p) { p.max_tokens = 3; });
  EXPECT_EQ(o.reason(), "max_tokens");
  o = with([&](auto& p) { p.max_tokens = 1000; });
  EXPECT_EQ(o.reason(), "context_end");
  EXPECT_EQ(o.num_tokens_input + o.num_tokens_output, 256);
}

TEST_F(Engine, BAD18StopStringOverTokensDoesNotLeak) {
  LLMEngine engine = make();
  SamplingParams p = greedy(40);
  p.logit_bias = {{2, 100}};  // "aa" for ever
  p.stop_strings = {"aaaaaaab", "aaaaaaa"};
  std::vector<std::string> pieces;
  (void)engine.add({Ids{1}, p}, [&](const StreamOutput& piece) { pieces.emplace_back(piece.text); });
  while (engine.step()) {}
  EXPECT_EQ(pieces, (std::vector<std::string>{"", "", "", ""}));
  p.stop_strings = {"aaab"};
  pieces.clear();
  p.max_tokens = 3;
  (void)engine.add({Ids{1}, p}, [&](const StreamOutput& piece) { pieces.emplace_back(piece.text); });
  while (engine.step()) {}
  EXPECT_EQ(pieces, (std::vector<std::string>{"", "a", "aaaaa"})) << "withheld, then released at the end";
}

// --- aborts ---

TEST_F(Engine, AbortsWithinOneStep) {
  LLMEngine engine = make();
  const auto running = engine.add({prompt_of(5), greedy(100)});
  engine.step();
  engine.step();
  const auto waiting = engine.add({prompt_of(5), greedy(100)});
  EXPECT_TRUE(engine.abort(running.id));
  EXPECT_TRUE(engine.abort(waiting.id));
  const long steps = model.steps;
  EXPECT_FALSE(engine.step());
  EXPECT_EQ(model.steps, steps) << "no forward pass for what was aborted";
  const auto outputs = engine.take_finished();
  ASSERT_EQ(outputs.size(), 2u);
  EXPECT_EQ(outputs[0].reason(), "aborted");
  EXPECT_EQ(outputs[0].num_tokens_output, 2);
  EXPECT_EQ(outputs[1].num_tokens_output, 0);
  EXPECT_EQ(engine.stats().blocks_used, 0);
}

TEST_F(Engine, BAD34AbortOfNobodyIsHarmless) {
  LLMEngine engine = make();
  EXPECT_FALSE(engine.abort(0));
  EXPECT_FALSE(engine.abort(77));
  const auto a = engine.add({prompt_of(5), greedy(2)});
  while (engine.step()) {}
  EXPECT_FALSE(engine.abort(a.id));
}

TEST_F(Engine, AbortEndsEveryAnswerOfARequest) {
  LLMEngine engine = make();
  SamplingParams p = greedy(100);
  p.n = 4;
  const auto a = engine.add({prompt_of(200), p});
  engine.step();  // the prompt is not computed yet: three answers have not begun
  EXPECT_TRUE(engine.abort(a.id));
  EXPECT_FALSE(engine.step());
  EXPECT_EQ(engine.take_finished().size(), 4u);
  EXPECT_EQ(engine.stats().blocks_used, 0);
}

TEST_F(Engine, CallbacksMayAddAndAbort) {
  LLMEngine engine = make();
  int pieces = 0, second = 0;
  Admission first;
  first = engine.add({prompt_of(5), greedy(100)}, [&](const StreamOutput& piece) {
    if (piece.finished) {
      EXPECT_EQ(piece.finished->reason(), "aborted");
      return;
    }
    if (++pieces < 3) return;
    EXPECT_TRUE(engine.abort(first.id));
    (void)engine.add({prompt_of(9), greedy(4)}, [&](const StreamOutput& o) { second += o.finished != nullptr; });
  });
  while (engine.step()) {}
  EXPECT_EQ(pieces, 3);
  EXPECT_EQ(second, 1);
}

TEST_F(Engine, AThrowingCallbackEndsItsRequestOnly) {
  LLMEngine engine = make();
  (void)engine.add({prompt_of(5), greedy(50)}, [](const StreamOutput&) { throw std::runtime_error("client"); });
  const Prompt prompts[] = {prompt_of(6)};
  EXPECT_EQ(engine.generate(prompts, greedy(50)).front().token_ids, alone(prompt_of(6), greedy(50)));
  EXPECT_FALSE(engine.step());
  EXPECT_EQ(engine.stats().tokens_generated, 51u);
}

// --- pages ---

TEST_F(Engine, ARepeatedPromptIsComputedOnce) {
  LLMEngine engine = make();
  const Prompt prompts[] = {prompt_of(200)};
  const auto first = engine.generate(prompts, greedy(5)).front();
  const auto computed = engine.stats().tokens_computed;
  const auto again = engine.generate(prompts, greedy(5)).front();
  EXPECT_EQ(again.token_ids, first.token_ids);
  EXPECT_EQ(first.num_cached_tokens, 0);
  EXPECT_EQ(again.num_cached_tokens, 192);
  EXPECT_EQ(engine.stats().tokens_computed - computed, 200u - 192 + 4);
  engine.clear_prefix_cache();
  EXPECT_EQ(engine.generate(prompts, greedy(5)).front().num_cached_tokens, 0);
}

TEST_F(Engine, BAD36TenantsWithOtherSaltsDoNotShare) {
  LLMEngine engine = make();
  for (const std::uint64_t salt : {1, 2, 1}) {
    (void)engine.add({.prompt = prompt_of(100), .params = greedy(2), .cache_salt = salt});
    while (engine.step()) {}
  }
  const auto outputs = engine.take_finished();
  EXPECT_EQ(outputs[1].num_cached_tokens, 0);
  EXPECT_EQ(outputs[2].num_cached_tokens, 96);
}

TEST_F(Engine, AnswersOfOneRequestShareItsPrompt) {
  for (const bool caching : {true, false}) {
    config.enable_prefix_caching = caching;
    LLMEngine engine = make();
    SamplingParams p = greedy(30);
    p.temperature = 1;
    p.seed = 5;
    p.n = 4;
    const Prompt prompts[] = {prompt_of(64)};
    const auto outputs = engine.generate(prompts, p);
    ASSERT_EQ(outputs.size(), 4u);
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(outputs[static_cast<std::size_t>(i)].token_ids, alone(prompt_of(64), p, i));
      EXPECT_EQ(outputs[static_cast<std::size_t>(i)].num_cached_tokens, i == 0 ? 0 : 48);
      SamplingParams single = p;
      single.n = 1;
      single.seed = answer_seed(5, i);
      EXPECT_EQ(alone(prompt_of(64), single), outputs[static_cast<std::size_t>(i)].token_ids);
    }
    EXPECT_NE(outputs[0].token_ids, outputs[1].token_ids);
    EXPECT_EQ(engine.stats().blocks_used, 0);
    const auto later = engine.generate(prompts, greedy(1)).front();
    EXPECT_EQ(later.num_cached_tokens, caching ? 48 : 0);
  }
}

TEST_F(Engine, BAD35PreemptionStormGivesTheSameTokens) {
  config.num_kvcache_blocks = 16;  // one sequence of full length
  LLMEngine engine = make();
  std::vector<Prompt> prompts;
  for (int i = 0; i < 12; ++i) prompts.emplace_back(prompt_of(10 + 9 * i, i));
  const auto outputs = engine.generate(prompts, greedy(1000));  // all of them at full length
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_EQ(outputs[i].token_ids, alone(std::get<Ids>(prompts[i]), greedy(1000)));
    EXPECT_EQ(outputs[i].reason(), "context_end");
  }
  EXPECT_GT(engine.stats().preemptions, 5u);
  EXPECT_EQ(engine.stats().blocks_used, 0);
}

// Pages still hold what others wrote; an answer that read a token too many would show it.
TEST_F(Engine, BAD37PagesOfOthersAreNeverRead) {
  config.num_kvcache_blocks = 20;
  config.enable_prefix_caching = false;
  LLMEngine engine = make();
  for (int round = 0; round < 20; ++round) {
    const Prompt prompts[] = {prompt_of(17 + round, round), prompt_of(40 - round, 3 * round)};
    const auto outputs = engine.generate(prompts, greedy(30));
    for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(outputs[i].token_ids, alone(std::get<Ids>(prompts[i]), greedy(30)));
  }
}

TEST_F(Engine, RespectsTheTokenBudgetInEveryStep) {
  config.max_num_batched_tokens = 24;
  config.max_num_seqs = 6;
  LLMEngine engine = make();
  std::vector<Prompt> prompts;
  for (int i = 0; i < 10; ++i) prompts.emplace_back(prompt_of(30 + 10 * i, i));
  (void)engine.generate(prompts, greedy(20));
  EXPECT_EQ(*std::ranges::max_element(model.rows_seen), 24);
  EXPECT_EQ(*std::ranges::max_element(model.seqs_seen), 6);
}

TEST_F(Engine, PadsStepsOfAnswersToBuckets) {
  config.batch_buckets = default_buckets(16);
  LLMEngine engine = make();
  std::vector<Prompt> prompts;
  for (int i = 0; i < 11; ++i) prompts.emplace_back(prompt_of(4, i));
  const auto outputs = engine.generate(prompts, greedy(20));
  for (std::size_t i = 0; i < prompts.size(); ++i) EXPECT_EQ(outputs[i].token_ids, alone(std::get<Ids>(prompts[i]), greedy(20)));
  EXPECT_EQ(std::ranges::count(model.seqs_seen, 16), 19);
  EXPECT_EQ(std::ranges::count(model.seqs_seen, 11), 1) << "the step of the prompts";
}

TEST_F(Engine, SeveralEnginesLiveInOneProcess) {
  FakeModel other;
  LLMEngine a = make(), b(other, fake::fake_tokenizer(), config);
  (void)a.add({prompt_of(30), greedy(20)});
  (void)b.add({prompt_of(31), greedy(20)});
  for (bool more = true; more;) more = a.step() | b.step();
  EXPECT_EQ(a.take_finished().front().token_ids, alone(prompt_of(30), greedy(20)));
  EXPECT_EQ(b.take_finished().front().token_ids, alone(prompt_of(31), greedy(20)));
}

TEST_F(Engine, UnseededRequestsDiffer) {
  LLMEngine engine = make();
  SamplingParams p;
  p.ignore_eos = true;
  const Prompt prompts[] = {prompt_of(8), prompt_of(8)};
  const auto outputs = engine.generate(prompts, p);
  EXPECT_NE(outputs[0].token_ids, outputs[1].token_ids);
}

// --- refusals ---

TEST_F(Engine, BAD12TokenIdsOutsideTheVocabularyAreRefused) {
  LLMEngine engine = make();
  for (const int bad : {-1, 26, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()}) {
    const auto admission = engine.add({Ids{1, bad}, {}});
    EXPECT_FALSE(admission.ok());
    EXPECT_EQ(admission.error.field, "prompt");
    EXPECT_NE(admission.error.why.find("token 1 is " + std::to_string(bad)), std::string::npos) << admission.error.why;
  }
  EXPECT_EQ(engine.add({Ids{}, {}}).error.field, "prompt");
  EXPECT_EQ(engine.add({std::string(), {}}).error.field, "prompt");
  EXPECT_FALSE(engine.step());
}

TEST_F(Engine, BAD15ARefusedRequestHarmsNobody) {
  LLMEngine engine = make();
  SamplingParams bad = greedy(5);
  bad.top_p = 0;
  const Prompt prompts[] = {prompt_of(5), prompt_of(5), prompt_of(5)};
  const SamplingParams params[] = {greedy(5), bad, greedy(5)};
  const auto outputs = engine.generate(prompts, params);
  EXPECT_EQ(outputs[0].token_ids, alone(prompt_of(5), greedy(5)));
  EXPECT_EQ(outputs[1].reason(), "refused: top_p: must be above 0 and at most 1, not 0");
  EXPECT_EQ(outputs[2].token_ids, outputs[0].token_ids);
}

TEST_F(Engine, BAD17PromptsAtTheLimit) {
  LLMEngine engine = make();
  const Prompt prompts[] = {prompt_of(254), prompt_of(255), prompt_of(256), prompt_of(257)};
  SamplingParams p = greedy(64);
  p.max_tokens = std::int64_t{1} << 31;
  const auto outputs = engine.generate(prompts, p);
  EXPECT_EQ(outputs[0].num_tokens_output, 2);
  EXPECT_EQ(outputs[0].reason(), "context_end");
  EXPECT_EQ(outputs[1].num_tokens_output, 1);
  for (const std::size_t i : {2u, 3u}) {
    EXPECT_EQ(outputs[i].finish_reason, FinishReason::refused);
    EXPECT_TRUE(outputs[i].error.starts_with("prompt: has ")) << outputs[i].error;
  }
  p.max_tokens = 0;
  EXPECT_EQ(engine.add({prompt_of(5), p}).error.field, "max_tokens");
}

TEST_F(Engine, BAD17SmallestContext) {
  config.max_model_len = 2;
  LLMEngine engine = make();
  const Prompt prompts[] = {Ids{3}, Ids{3, 4}};
  const auto outputs = engine.generate(prompts, greedy(9));
  EXPECT_EQ(outputs[0].num_tokens_output, 1);
  EXPECT_EQ(outputs[1].finish_reason, FinishReason::refused);
  config.max_model_len = 1;
  test::expect_error([&] { make(); }, "max_model_len: ");
}

TEST_F(Engine, BAD35ARequestThatNeverFitsIsRefusedBeforeItRuns) {
  config.enable_chunked_prefill = false;  // a step holds 64 tokens
  LLMEngine engine = make();
  EXPECT_TRUE(engine.add({prompt_of(64), greedy(1)}).ok());
  const auto admission = engine.add({prompt_of(65), greedy(1)});
  EXPECT_EQ(admission.error.field, "prompt");
  EXPECT_NE(admission.error.why.find("enable_chunked_prefill"), std::string::npos);
}

TEST_F(Engine, WithoutATokenizerServesIdsOnly) {
  LLMEngine engine(model, std::nullopt, config);
  EXPECT_EQ(engine.add({std::string("a"), {}}).error.field, "prompt");
  SamplingParams p = greedy(5);
  p.stop_strings = {"a"};
  EXPECT_EQ(engine.add({prompt_of(5), p}).error.field, "stop_strings");
  const Prompt prompts[] = {prompt_of(5)};
  const auto output = engine.generate(prompts, greedy(5)).front();
  EXPECT_EQ(output.token_ids, alone(prompt_of(5), greedy(5)));
  EXPECT_EQ(output.text, "");
}

TEST_F(Engine, ConfigIsRefusedByField) {
  const auto refused = [&](auto edit, const std::string& field) {
    EngineConfig c = config;
    edit(c);
    test::expect_error([&] { resolve(c, model); }, field + ": ");
  };
  refused([](auto& c) { c.max_num_seqs = 17; }, "max_num_seqs");
  refused([](auto& c) { c.max_num_seqs = -1; }, "max_num_seqs");
  refused([](auto& c) { c.max_num_batched_tokens = 65; }, "max_num_batched_tokens");
  refused([](auto& c) { c.max_num_batched_tokens = 8; }, "max_num_batched_tokens");
  refused([](auto& c) { c.num_kvcache_blocks = 0; }, "num_kvcache_blocks");
  refused([](auto& c) { c.num_kvcache_blocks = 257; }, "num_kvcache_blocks");
  refused([](auto& c) { c.num_kvcache_blocks = 4, c.max_model_len = 65; }, "max_model_len");
  refused([](auto& c) { c.num_kvcache_blocks = 1, c.batch_buckets = {1}; }, "num_kvcache_blocks");
  refused([](auto& c) { c.long_prefill_token_threshold = 15; }, "long_prefill_token_threshold");
  refused([](auto& c) { c.long_prefill_token_threshold = 257; }, "long_prefill_token_threshold");
  refused([](auto& c) { c.scheduler_delay_factor = -1; }, "scheduler_delay_factor");
  refused([](auto& c) { c.scheduler_delay_factor = std::nan(""); }, "scheduler_delay_factor");
  refused([](auto& c) { c.batch_buckets = {4, 2}; }, "batch_buckets");
  refused([](auto& c) { c.batch_buckets = {17}; }, "batch_buckets");
  refused([](auto& c) { c.eos_token_ids = {26}; }, "eos_token_ids");
  const EngineConfig c = resolve({.max_model_len = 100000}, model);
  EXPECT_EQ(c.max_model_len, 256) << "capped by what the model was trained for";
  EXPECT_EQ(c.max_num_seqs, 16);
  EXPECT_EQ(c.max_num_batched_tokens, 64);
  EXPECT_EQ(c.num_kvcache_blocks, 256);
  EXPECT_EQ(default_buckets(40), (Ids{1, 2, 4, 8, 16, 32}));
}

}  // namespace
}  // namespace atom::engine
