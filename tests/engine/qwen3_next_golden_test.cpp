// Qwen3-Next against logits that an independent implementation computed in float32 on the same bf16 weights; and its recurrent
// state through chunks, batches, ranks and preemption.
#include "atom/engine/engine.hpp"

#include "golden.hpp"

namespace atom::test {
namespace {

const std::string dir = dir_of("qwen3_next");
std::vector<int> some_tokens(int n, int seed = 0) {
  std::vector<int> list;
  for (int i = 0; i < n; ++i) list.push_back((i * 37 + i * i % 11 + seed * 101) % 320);
  return list;
}
ExecutorOptions wide(const char* backend, int rows, int tp = 1) {
  ExecutorOptions o = options(dir, backend, DType::f32, tp, rows);
  o.max_logits = rows;
  return o;
}

struct Case {
  const char* backend;
  DType act;
  int tp;
};
class Qwen3NextGolden : public testing::TestWithParam<Case> {};

TEST_P(Qwen3NextGolden, LogitsMatch) {
  const auto [backend, act, tp] = GetParam();
  const Golden golden(dir, rows_for(backend));
  auto got = all_logits(options(dir, backend, act, tp), golden.ids), want = golden.logits;
  if (act == DType::f32) {
    EXPECT_LE(difference(got, want).worst, 2e-3);
    return;
  }
  // Where a delta net's answer is nearly nothing, the norm behind it makes as much of its rounding as of it.
  std::vector<float> sure = golden.margins;
  const auto ratios = floats(SafeTensors(dir + "/golden.safetensors"), "norm_ratio");
  for (std::size_t r = 0; r < sure.size(); ++r) sure[r] = ratios[r] < 0.08f ? 0 : sure[r];
  keep_rows(sure, 0.02f, got, want);
  EXPECT_LE(difference(got, want).relative, 2e-2);
}

TEST_P(Qwen3NextGolden, ContinuationMatches) {
  const auto [backend, act, tp] = GetParam();
  if (act != DType::f32 || std::string_view(backend) == "ref") return;
  Executor executor(options(dir, backend, act, tp), universal_builds());
  Session session(executor);
  const float* logits = session.feed(Golden(dir).ids);
  for (int want : ids(SafeTensors(dir + "/golden.safetensors"), "greedy_ids")) {
    const int got = session.sample(logits, {.temperature = 0});
    ASSERT_EQ(got, want);
    logits = session.decode(got);
  }
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const char* backend : {"ref", "cpu"})
    for (DType act : {DType::f32, DType::bf16})
      for (int tp : {1, 2}) all.push_back({backend, act, tp});
  return all;
}
INSTANTIATE_TEST_SUITE_P(Hf, Qwen3NextGolden, testing::ValuesIn(cases()), [](const auto& test) {
  const Case& c = test.param;
  return std::string(c.backend) + (c.act == DType::f32 ? "_f32" : "_bf16") + "_tp" + std::to_string(c.tp);
});

// Pieces shorter than the convolution, and around the sizes that chunked forms of the recurrence like.
TEST(Qwen3NextState, GoesThroughChunks) {
  const auto tokens = some_tokens(131);
  const auto whole = all_logits(wide("cpu", 131), tokens);
  for (int rows : {1, 3, 63, 64, 65}) EXPECT_LE(difference(all_logits(wide("cpu", rows), tokens), whole).worst, 2e-4) << rows;
  const std::vector<int> some(tokens.begin(), tokens.begin() + 12);
  for (int rows : {1, 2, 5}) EXPECT_LE(difference(all_logits(wide("ref", rows), some), whole).worst, 2e-4) << rows;
}

TEST(Qwen3NextState, PromptsShorterThanTheConvolution) {
  for (const char* backend : {"ref", "cpu"})
    for (int first : {1, 3, 4}) {
      const auto tokens = some_tokens(7, first);
      Executor executor(wide(backend, 16), universal_builds());
      Session session(executor);
      static_cast<void>(session.feed(std::span(tokens).first(static_cast<std::size_t>(first))));
      const float* logits = nullptr;
      for (std::size_t i = static_cast<std::size_t>(first); i < tokens.size(); ++i) logits = session.decode(tokens[i]);
      const auto whole = all_logits(wide(backend, 16), tokens);
      const std::vector<float> got(logits, logits + executor.vocab());
      EXPECT_LE(difference(got, {whole.end() - executor.vocab(), whole.end()}).worst, 1e-4) << backend << ", " << first;
    }
}

// A text that starts again finds nothing of the one before.
TEST(Qwen3NextState, BeginsWithZeros) {
  Executor executor(wide("cpu", 64), universal_builds());
  Session session(executor);
  const auto first = some_tokens(40), second = some_tokens(20, 3);
  const auto last = [&](const std::vector<int>& tokens) {
    session.truncate(0);
    const float* logits = session.feed(tokens);
    return std::vector<float>(logits, logits + executor.vocab());
  };
  const auto want = last(second);
  EXPECT_NE(last(first), want);
  EXPECT_EQ(last(second), want);
}

LLMEngine serve(const char* backend, EngineConfig config, int tp = 1) {
  ExecutorOptions o = wide(backend, 64, tp);
  o.max_seqs = 4;
  o.context_tokens = config.num_kvcache_blocks > 0 ? config.num_kvcache_blocks * kernels::page_tokens : 1024;
  return {std::make_unique<Executor>(o, universal_builds()), {}, config};
}

// Many at once, in chunks, on a cache that is too small for all: each answer is what it is alone.
TEST(Qwen3NextState, BelongsToItsSequence) {
  SamplingParams greedy;
  greedy.temperature = 0;
  greedy.max_tokens = 18;
  std::vector<Prompt> prompts;
  for (int i = 0; i < 6; ++i) prompts.emplace_back(some_tokens(1 + i * i * 3 / 2, i));
  for (int tp : {1, 2}) {
    LLMEngine alone = serve("cpu", {.max_num_seqs = 1}, tp);
    LLMEngine many = serve("cpu", {.max_num_seqs = 4, .max_num_batched_tokens = 20, .num_kvcache_blocks = 5}, tp);
    const auto got = many.generate(prompts, greedy);
    EXPECT_GT(many.stats().preemptions, 0u);
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      const auto want = alone.generate(std::span(prompts).subspan(i, 1), greedy);
      EXPECT_EQ(got[i].token_ids, want[0].token_ids) << "tp " << tp << ", prompt " << i;
    }
  }
}

// Prompts that were seen before, several answers to one, and steps that are padded.
TEST(Qwen3NextState, IsNotFoundByPrefix) {
  SamplingParams params;
  params.temperature = 1;
  params.seed = 7;
  params.n = 3;
  params.max_tokens = 12;
  const std::vector<Prompt> prompts{some_tokens(50), some_tokens(50)};
  LLMEngine plain = serve("cpu", {.max_num_seqs = 1}), padded = serve("cpu", {.max_num_seqs = 4, .batch_buckets = {4}});
  EXPECT_FALSE(plain.config().enable_prefix_caching);
  const auto want = plain.generate(prompts, params), got = padded.generate(prompts, params);
  for (std::size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(want[i].num_cached_tokens, 0);
    EXPECT_EQ(got[i].token_ids, want[i].token_ids) << i;
    EXPECT_EQ(got[i].token_ids, got[i % 3].token_ids) << "the same prompt and seed";
  }
  EXPECT_NE(got[0].token_ids, got[1].token_ids);
}

TEST(Qwen3NextState, TakesNoDrafts) {
  EngineConfig config;
  config.speculative_config.method = "ngram";
  const std::string why = error_of([&] { serve("cpu", config); });
  EXPECT_EQ(why.find("speculative_config.method: ngram: drafts that turn out wrong cannot be taken back"), 0u) << why;
}

// Three layers of four have a state for each sequence, the fourth has keys and values.
TEST(Qwen3NextState, IsPlanned) {
  constexpr std::size_t heads = 4 * 32 * 32, inputs = 3 * (2 * 2 * 32 + 4 * 32);
  for (int tp : {1, 2}) {
    ExecutorOptions o = options(dir, "cpu", DType::bf16, tp);
    o.max_seqs = 5;
    const Executor executor(o, universal_builds());
    EXPECT_EQ(executor.memory().states, 5 * 3 * (heads + inputs) * sizeof(float));
    EXPECT_EQ(executor.memory().kv_cache, std::size_t{256} * 2 * 256 * 2 * static_cast<std::size_t>(tp)) << "a KV head on each";
    EXPECT_FALSE(executor.rewinds());
  }
}

// The shared expert is cut and its gate whole, whatever becomes of the others.
TEST(Qwen3NextRanks, ShareOutExperts) {
  for (const char* backend : {"ref", "cpu"}) {
    const Golden golden(dir, rows_for(backend));
    EXPECT_LE(difference(all_logits(sharing_experts(options(dir, backend, DType::f32, 2)), golden.ids), golden.logits).worst, 2e-3)
        << backend;
  }
}

TEST(Qwen3NextRanks, CutKeyHeads) {
  EXPECT_NE(error_of([&] { Executor e(options(dir, "cpu", DType::f32, 4), universal_builds()); }).find("--tensor-parallel-size 4"),
            std::string::npos);
}

TEST(Qwen3NextInt8, FollowsReferenceAndGolden) {
  const auto logits = [&](const char* backend, const std::vector<int>& ids) {
    auto o = options(dir, backend, DType::f32, 1);
    o.quant = "int8";
    return all_logits(o, ids);
  };
  const Golden golden(dir);
  const auto cpu = logits("cpu", golden.ids);
  EXPECT_LE(difference(logits("ref", Golden(dir, rows_for("ref")).ids), cpu).relative, 1e-2);
  EXPECT_LE(golden.of_sure_rows(0.12f, cpu).relative, 5e-2);
}

}  // namespace
}  // namespace atom::test
