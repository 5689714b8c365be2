// The bundled model behind the engine: answers computed elsewhere in float32, whatever shares the steps.
#include <algorithm>
#include <gtest/gtest.h>

#include "atom/engine/engine.hpp"
#include "atom/engine/executor.hpp"
#include "atom/engine/universal.hpp"

#include "checkpoints.hpp"

namespace atom::engine {
namespace {

const std::string demo = ATOM_DEMO_MODEL;
const std::string beginning =
    "Once upon a time there lived in a certain village a little country girl, the prettiest creature who was ever seen. ";
const std::vector<std::string> texts = {"Once upon a time",
                                        "The king said to his three sons,",
                                        "Alice was beginning to get very tired",
                                        beginning + "Her mother was",
                                        beginning + "One day",
                                        beginning};

LLMEngine load(EngineConfig config, int context_tokens = 4096, const char* kv = "auto") {
  ExecutorOptions o;
  o.model_dir = demo;
  o.kv = kv;
  // One row or many then differ by far less than two logits do; caches that are quantised have no such builds.
  o.act = o.kv == "auto" ? DType::f32 : DType::bf16;
  o.threads = 2;
  o.context_tokens = context_tokens;
  if (config.max_num_seqs == 0) config.max_num_seqs = 8;
  if (config.max_num_batched_tokens == 0) config.max_num_batched_tokens = 128;
  return LLMEngine::load(o, universal_builds(), config);
}

std::vector<Prompt> prompts() { return {texts.begin(), texts.end()}; }

SamplingParams params(double temperature) {
  SamplingParams p;
  p.temperature = temperature;
  p.seed = 11;
  p.max_tokens = 20;
  p.ignore_eos = true;
  return p;
}

TEST(EngineDemo, GreedyAnswersAreThoseComputedElsewhere) {
  const SafeTensors golden(demo + "/golden.safetensors");
  LLMEngine engine = load({});
  std::vector<SamplingParams> each(texts.size(), params(0));
  std::vector<std::vector<int>> want;
  const Tokenizer tokenizer = Tokenizer::from_dir(demo);
  for (std::size_t i = 0; i < 3; ++i) {
    want.push_back(atom::test::ids(golden, "greedy_" + std::to_string(i)));
    want.back().erase(want.back().begin(), want.back().begin() + static_cast<std::ptrdiff_t>(tokenizer.encode(texts[i]).size()));
    each[i].max_tokens = static_cast<std::int64_t>(want.back().size());
  }
  const auto outputs = engine.generate(prompts(), each);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(outputs[i].token_ids, want[i]);
    EXPECT_EQ(outputs[i].text, tokenizer.decode(want[i])) << "the demo's tokenizer strips nothing at the start";
  }
}

TEST(EngineDemo, SameTokensWhateverSharesTheSteps) {
  const SamplingParams sampled = params(0.9);
  std::vector<std::vector<int>> alone;
  {
    LLMEngine engine = load({.enable_prefix_caching = false});
    for (const Prompt& p : prompts()) alone.push_back(engine.generate(std::span(&p, 1), sampled).front().token_ids);
  }
  const auto same = [&](const char* what, LLMEngine engine, bool again = false) {
    for (int round = 0; round <= again; ++round) {
      const auto outputs = engine.generate(prompts(), sampled);
      for (std::size_t i = 0; i < outputs.size(); ++i) EXPECT_EQ(outputs[i].token_ids, alone[i]) << what << ", prompt " << i;
    }
    return engine.stats();
  };
  same("prompts apart", load({.mixed_batches = false}));
  same("chunks of a few tokens", load({.max_num_seqs = 3, .max_num_batched_tokens = 8}));
  EXPECT_GT(same("all at once, then from the cache", load({}), true).tokens_from_cache, 0u);
  EXPECT_GT(same("preempted", load({.max_model_len = 96, .num_kvcache_blocks = 8})).preemptions, 0u);
  same("padded", load({.batch_buckets = default_buckets(8)}));
  EngineConfig c;
  c.speculative_config.method = "ngram";
  c.speculative_config.num_speculative_tokens = 1;
  c.speculative_config.prompt_lookup_min = 1;
  EXPECT_GT(same("drafted", load(c)).speculation.accepted(), 0u);
  c.speculative_config.num_speculative_tokens = 4;
  c.max_model_len = 96;
  c.num_kvcache_blocks = 8;
  c.batch_buckets = default_buckets(8);
  c.max_num_batched_tokens = 12;
  const EngineStats small = same("drafted, in small steps, preempted", load(c));
  EXPECT_GT(small.preemptions, 0u);
  EXPECT_GT(small.speculation.accepted(), 0u);
}

// Rows of one step or of many are rounded alike nowhere but in the cache: texts agree for as long as no two words are about as
// likely. What preemption recomputes and the prefix cache shares must be the same bytes, or they would part at once.
TEST(EngineDemo, QuantisedCachesArePreemptedAndSharedAsOthersAre) {
  for (const char* kv : {"int8", "fp8"}) {
    SCOPED_TRACE(kv);
    std::vector<std::vector<int>> plain, alone;
    {
      LLMEngine exact = load({}), engine = load({.enable_prefix_caching = false}, 4096, kv);
      for (const Prompt& p : prompts()) {
        plain.push_back(exact.generate(std::span(&p, 1), params(0)).front().token_ids);
        alone.push_back(engine.generate(std::span(&p, 1), params(0)).front().token_ids);
      }
    }
    const auto agreement = [](const auto& a, const auto& b) {
      std::size_t same = 0, all = 0;
      for (std::size_t i = 0; i < a.size(); ++i) {
        same += static_cast<std::size_t>(std::ranges::mismatch(a[i], b[i]).in1 - a[i].begin());
        all += a[i].size();
      }
      return static_cast<double>(same) / static_cast<double>(all);
    };
    EXPECT_GT(agreement(alone, plain), 0.5);
    const auto same = [&](const char* what, LLMEngine engine, bool again = false) {
      for (int round = 0; round <= again; ++round) {
        std::vector<std::vector<int>> got;
        for (const RequestOutput& o : engine.generate(prompts(), params(0))) got.push_back(o.token_ids);
        EXPECT_GT(agreement(got, alone), 0.5) << what;
      }
      return engine.stats();
    };
    same("all at once", load({}, 4096, kv));
    EXPECT_GT(same("from the cache", load({}, 4096, kv), true).tokens_from_cache, 0u);
    EXPECT_GT(same("preempted", load({.max_model_len = 96, .num_kvcache_blocks = 8}, 4096, kv)).preemptions, 0u);
  }
}

TEST(EngineDemo, EndsWhereTheModelDoes) {
  LLMEngine engine = load({});
  EXPECT_FALSE(engine.config().eos_token_ids.empty());
  SamplingParams p = params(0);
  p.ignore_eos = false;
  p.logit_bias = {{engine.config().eos_token_ids.front(), 100}};
  p.min_tokens = 3;
  const auto outputs = engine.generate(prompts(), p);
  for (const RequestOutput& o : outputs) {
    EXPECT_EQ(o.reason(), "eos");
    EXPECT_EQ(o.num_tokens_output, 4);
  }
}

}  // namespace
}  // namespace atom::engine
