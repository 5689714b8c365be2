// A step of the engine allocates nothing: operator new is counted over whole lives of requests, from the first chunk of a prompt
// to the last token, preemptions, evictions and ends included.
#include <gtest/gtest.h>

#include "atom/engine/engine.hpp"

#include "counted_new.hpp"
#include "fake_model.hpp"

namespace atom::engine {
namespace {

struct Case {
  const char* name;
  SamplingParams params;
  bool listens;
  int drafts = 0;
  const char* method = "ngram";
  bool defers = false;
};

TEST(EngineStep, AllocatesNothing) {
  SamplingParams plain;
  plain.max_tokens = 80;
  plain.ignore_eos = true;
  Case cases[] = {{"plain", plain, true},
                  {"kept", plain, false},
                  {"edits", plain, true},
                  {"logprobs", plain, true},
                  {"stops", plain, true},
                  {"n", plain, false},
                  {"drafts", plain, true, 3},
                  {"drafts, edits, logprobs", plain, true, 3},
                  {"drafting layer", plain, true, 3, "mtp"},
                  {"deferred", plain, true, 0, "", true},
                  {"deferred, stops", plain, true, 0, "", true},
                  {"deferred, n", plain, false, 0, "", true}};
  SamplingParams& edits = cases[2].params;
  edits.presence_penalty = edits.frequency_penalty = 0.5;
  edits.repetition_penalty = 1.2;
  edits.logit_bias = {{3, 2}};
  edits.min_tokens = 10;
  edits.stop_token_ids = {1};
  cases[3].params.logprobs = 5;
  cases[3].params.presence_penalty = 1;
  cases[4].params.stop_strings = {"aaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbb"};
  cases[5].params.n = 4;
  cases[10].params = cases[4].params;
  cases[11].params = cases[5].params;
  cases[6].params.temperature = 0;
  cases[7].params = cases[6].params;
  cases[7].params.frequency_penalty = 0.01;
  cases[7].params.repetition_penalty = 1.01;
  cases[7].params.logprobs = 5;
  for (const Case& c : cases) {
    fake::FakeModel model({.predictable = c.drafts > 0, .draft_layers = 1, .defers = c.defers});
    EngineConfig config{
        .max_num_seqs = 8, .max_num_batched_tokens = 40, .num_kvcache_blocks = 16, .batch_buckets = {}, .eos_token_ids = {24}};
    if (c.drafts > 0) config.speculative_config = {.method = c.method, .model = {}, .num_speculative_tokens = c.drafts};
    LLMEngine engine(model, fake::fake_tokenizer(), config);
    long pieces = 0;
    for (int i = 0; i < 12; ++i) {
      const Request request{.prompt = std::vector<int>(static_cast<std::size_t>(20 + 9 * i), i), .params = c.params};
      const auto count = [&](const StreamOutput&) { ++pieces; };
      ASSERT_TRUE((c.listens ? engine.add(request, count) : engine.add(request)).ok());
    }
    ASSERT_GT(test::news.load(), 0);  // the counter counts
    const long before = test::news.load();
    while (engine.step()) {}
    EXPECT_EQ(test::news.load() - before, 0) << c.name;
    EXPECT_GT(engine.stats().preemptions, 0u) << c.name;
    EXPECT_EQ(engine.stats().speculation.accepted() > 20, c.drafts > 0);
    EXPECT_EQ(pieces > 0, c.listens);
    EXPECT_EQ(model.late > 20, c.defers) << c.name;
  }
}

}  // namespace
}  // namespace atom::engine
