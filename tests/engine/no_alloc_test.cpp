// A decode step allocates nothing: operator new is counted over many steps, sampling included, on every thread.
#include <gtest/gtest.h>

#include "atom/engine/engine.hpp"
#include "atom/engine/executor.hpp"
#include "atom/engine/session.hpp"
#include "atom/engine/universal.hpp"

#include "checkpoints.hpp"
#include "counted_new.hpp"

namespace atom::engine {
namespace {

void expect_no_news(const std::string& dir, const char* backend, const char* quant, int tp, bool ep = false) {
  ExecutorOptions o;
  o.model_dir = dir;
  o.backend = backend;
  o.quant = quant;
  o.tensor_parallel_size = tp;
  o.expert_parallel = ep;
  o.threads = 2;
  Executor executor(o, universal_builds());
  Session session(executor);
  const int prompt[] = {1, 2, 3, 4, 5};
  const float* logits = session.feed(prompt);
  ASSERT_GT(test::news.load(), 0);  // the counter counts
  const long before = test::news.load();
  for (int i = 0; i < 100; ++i) {
    kernels::SampleParams p;
    p.temperature = i % 2 ? 0.8f : 0;
    p.top_k = 20;
    p.top_p = 0.9f;
    p.counter = static_cast<std::uint64_t>(i);
    logits = session.decode(session.sample(logits, p));
  }
  EXPECT_EQ(test::news.load() - before, 0) << backend << " " << quant << " tp " << tp;
}

TEST(DecodeStep, AllocatesNothing) {
  for (const char* architecture : {"Qwen3ForCausalLM", "Qwen3MoeForCausalLM", "DeepseekV3ForCausalLM"}) {
    SCOPED_TRACE(architecture);
    test::TempDir dir;
    test::RandomCheckpoint{.architecture = architecture, .layers = 3, .dense_layers = {0}}.fill().write(dir.path());
    const bool slow = architecture[0] == 'D';  // the reference makes the keys and values of the whole context for every token
    for (const char* backend : {"cpu", "ref"})
      if (!slow || backend[0] == 'c')
        for (const char* quant : {"none", "int8"})
          for (int tp : {1, 2}) {
            expect_no_news(dir.path(), backend, quant, tp);
            if (tp > 1 && architecture != std::string_view("Qwen3ForCausalLM"))
              expect_no_news(dir.path(), backend, quant, tp, true);
          }
  }
}

// The same of whole requests whose drafts a layer of the model makes.
TEST(DraftingStep, AllocatesNothing) {
  for (int tp : {1, 2}) {
    ExecutorOptions o;
    o.model_dir = std::string(ATOM_DEMO_MODEL) + "/../mtp-demo";
    o.tensor_parallel_size = tp;
    o.threads = 2;
    o.context_tokens = 320;
    EngineConfig config{.max_num_seqs = 4, .max_num_batched_tokens = 48};
    config.speculative_config.method = "mtp";
    config.speculative_config.num_speculative_tokens = 3;
    LLMEngine engine = LLMEngine::load(o, universal_builds(), config);
    SamplingParams p;
    p.ignore_eos = true;
    p.max_tokens = 40;
    for (int i = 0; i < 6; ++i)
      ASSERT_TRUE(engine.add({.prompt = std::vector<int>(static_cast<std::size_t>(10 + 20 * i), 100 + i), .params = p}).ok());
    engine.step();
    const long before = test::news.load();
    while (engine.step()) {}
    EXPECT_EQ(test::news.load() - before, 0) << "tp " << tp;
    EXPECT_GT(engine.stats().speculation.accepted(), 0u);
  }
}

}  // namespace
}  // namespace atom::engine
