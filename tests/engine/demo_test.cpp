// The bundled model, end to end: tokens, text and likelihood against answers computed elsewhere in float32.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <numeric>

#include "atom/engine/session.hpp"
#include "atom/engine/tokenizer.hpp"
#include "atom/engine/universal.hpp"

#include "checkpoints.hpp"

namespace atom::engine {
namespace {

const std::string demo = ATOM_DEMO_MODEL;

ExecutorOptions options(DType act) {
  ExecutorOptions o;
  o.model_dir = demo;
  o.act = act;
  o.threads = 2;
  o.max_rows = o.max_logits = 128;
  o.context_tokens = 512;
  return o;
}

TEST(Demo, GreedyTextMatches) {
  const SafeTensors golden(demo + "/golden.safetensors");
  const auto tokenizer = Tokenizer::from_dir(demo);
  const char* prompts[] = {"Once upon a time", "The king said to his three sons,", "Alice was beginning to get very tired"};
  Executor executor(options(DType::f32), universal_builds());
  for (int i = 0; i < 3; ++i) {
    const auto want = test::ids(golden, "greedy_" + std::to_string(i));
    auto got = tokenizer.encode(prompts[i]);
    Session session(executor);
    const float* logits = session.feed(got);
    while (got.size() < want.size()) {
      got.push_back(session.sample(logits, {.temperature = 0}));
      logits = session.decode(got.back());
    }
    EXPECT_EQ(got, want) << "got: " << tokenizer.decode(got) << "\nwant: " << tokenizer.decode(want);
  }
}

double mean_nll(const ExecutorOptions& o, const std::vector<int>& ids, const std::vector<float>* per_token, double* worst) {
  Executor executor(o, universal_builds());
  Session session(executor);
  const int vocab = executor.config().spec.vocab;
  double total = 0;
  for (std::size_t begin = 0; begin + 1 < ids.size(); begin += 512) {
    session.truncate(0);
    session.feed_all(std::span(ids).subspan(begin, 512), [&](std::size_t first, const float* rows, std::size_t n) {
      for (std::size_t i = 0; i < n; ++i, rows += vocab) {
        const float top = *std::max_element(rows, rows + vocab);
        double sum = 0;
        for (int v = 0; v < vocab; ++v) sum += std::exp(double{rows[v]} - double{top});
        const std::size_t at = begin + first + i;
        const double nll = std::log(sum) + double{top} - double{rows[ids[at + 1]]};
        if (per_token) *worst = std::fmax(*worst, std::fabs(nll - double{(*per_token)[at]}));
        total += nll;
      }
    });
  }
  return total / static_cast<double>(ids.size() - 1);
}

TEST(Demo, LikelihoodMatches) {
  const SafeTensors golden(demo + "/golden.safetensors");
  const auto ids = test::ids(golden, "nll_ids");
  const auto want = test::floats(golden, "nll_f32");
  ASSERT_EQ(ids.size(), want.size() + 1);
  const double mean = std::accumulate(want.begin(), want.end(), 0.0) / static_cast<double>(want.size());
  double worst = 0;
  EXPECT_NEAR(mean_nll(options(DType::f32), ids, &want, &worst), mean, 0.002);
  EXPECT_LE(worst, 0.01) << "of one token";
  EXPECT_NEAR(mean_nll(options(DType::bf16), ids, nullptr, nullptr), mean, 0.01);
}

TEST(Demo, LikelihoodWithQuantisedCaches) {
  const auto ids = test::ids(SafeTensors(demo + "/golden.safetensors"), "nll_ids");
  const auto mean = [&](const char* quant, const char* kv) {
    ExecutorOptions o = options(DType::bf16);
    o.quant = quant, o.kv = kv;
    const double nll = mean_nll(o, ids, nullptr, nullptr);
    RecordProperty(std::string(quant) + "_" + kv, std::to_string(nll));
    return nll;
  };
  const double plain = mean("none", "bf16");
  EXPECT_NEAR(mean("none", "int8"), plain, 0.002);
  EXPECT_NEAR(mean("none", "fp8"), plain, 0.005);
  EXPECT_NEAR(mean("int8", "int8"), mean("int8", "bf16"), 0.002);
}

}  // namespace
}  // namespace atom::engine
