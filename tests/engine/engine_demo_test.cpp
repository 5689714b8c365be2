// The bundled model behind the engine: answers computed elsewhere in float32, whatever shares the steps.
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

LLMEngine load(EngineConfig config, int context_tokens = 4096) {
  ExecutorOptions o;
  o.model_dir = demo;
  o.act = DType::f32;  // one row or many then differ by far less than two logits do
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
  p.max_tokens = 24;
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
  for (const double temperature : {0.0, 0.9}) {
    SCOPED_TRACE(temperature);
    std::vector<std::vector<int>> alone;
    {
      LLMEngine engine = load({.enable_prefix_caching = false});
      for (const Prompt& p : prompts()) alone.push_back(engine.generate(std::span(&p, 1), params(temperature)).front().token_ids);
    }
    const auto same = [&](const char* what, LLMEngine engine, bool again = false) {
      for (int round = 0; round <= again; ++round) {
        const auto outputs = engine.generate(prompts(), params(temperature));
        for (std::size_t i = 0; i < outputs.size(); ++i) EXPECT_EQ(outputs[i].token_ids, alone[i]) << what << ", prompt " << i;
      }
      return engine.stats();
    };
    same("all at once", load({}));
    same("prompts apart", load({.mixed_batches = false}));
    same("chunks of a few tokens", load({.max_num_seqs = 3, .max_num_batched_tokens = 8}));
    EXPECT_GT(same("from the cache", load({}), true).tokens_from_cache, 0u);
    EXPECT_GT(same("preempted", load({.max_model_len = 96, .num_kvcache_blocks = 8})).preemptions, 0u);
    same("padded", load({.batch_buckets = default_buckets(8)}));
    for (const int drafts : {1, 4}) {
      EngineConfig c;
      c.speculative_config.method = "ngram";
      c.speculative_config.num_speculative_tokens = drafts;
      c.speculative_config.prompt_lookup_min = 1;
      EXPECT_GT(same("drafted", load(c)).speculation.accepted(), 0u);
      c.max_model_len = 96;
      c.num_kvcache_blocks = 8;
      EXPECT_GT(same("drafted, preempted", load(c)).preemptions, 0u);
      c.batch_buckets = default_buckets(8);
      c.max_num_batched_tokens = 12;
      same("drafted, in small steps", load(c));
    }
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
