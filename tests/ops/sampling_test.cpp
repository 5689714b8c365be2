// sample on Cpu and Emu against Ref, and against the distribution it promises.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <numeric>

#include "atom/ops/sampling_cpu.hpp"
#include "atom/ops/sampling_gpu.hpp"
#include "atom/ops/sampling_ref.hpp"

#include "conformance.hpp"
#include "cpu_setting.hpp"
#include "emu_setting.hpp"

namespace atom {
namespace {

using namespace test;
using kernels::SampleParams;

struct Rows {
  std::vector<float> logits;  // (params.size(), ld)
  std::vector<SampleParams> params;
  int vocab, ld;

  /// found: the best of each row is known before.
  template <class Backend, bool found = false> std::vector<int> on(typename Backend::stream stream) const {
    const std::size_t rows = params.size(), n = rows * static_cast<std::size_t>(vocab);
    const bool greedy = std::ranges::all_of(params, [](const SampleParams& p) { return p.temperature == 0; });
    std::vector<float> sorted(n);
    std::vector<int> order(n), tokens(rows, -1);
    std::vector<std::uint64_t> best(rows);
    if constexpr (found)
      run_on<kernels::best_tokens, Backend>(stream, {logits.data(), best.data(), static_cast<int>(rows), vocab, ld});
    run_on<kernels::sample, Backend>(stream, {logits.data(), params.data(), sorted.data(), order.data(), tokens.data(),
                                              static_cast<int>(rows), vocab, ld, found && greedy, found ? best.data() : nullptr});
    return tokens;
  }
  void check(bool emulated = true) const {
    const std::vector<int> want = on<Ref>({});
    at_every_level([&] {
      for (int threads : {1, 3}) EXPECT_EQ(on<Cpu>(pool(threads)), want);
    });
    if (!emulated) return;
    Rows few = *this;  // a row does not depend on the others, and two show where each lies
    few.params.resize(std::min<std::size_t>(few.params.size(), 2));
    on_every_wave([&]<class B>(B, typename B::stream machine) {
      const auto got = few.on<B>(machine);
      EXPECT_TRUE(std::equal(got.begin(), got.end(), want.begin()));
      EXPECT_EQ((few.on<B, true>(machine)), got);
      return got;
    });
  }
};

Rows same_params(int rows, int vocab, float spread, const SampleParams& p) {
  Rows r{noise<float>(static_cast<std::size_t>(rows) * static_cast<std::size_t>(vocab + 3), 1, spread), {}, vocab, vocab + 3};
  for (int i = 0; i < rows; ++i) {
    r.params.push_back(p);
    r.params.back().counter = static_cast<std::uint64_t>(i);
  }
  return r;
}

TEST(Sample, EqualsReference) {
  const std::vector<SampleParams> settings = {
      {.temperature = 0},
      {.temperature = 1},
      {.temperature = 0.3f},
      {.temperature = 5},
      {.temperature = 1, .top_k = 1},
      {.temperature = 1, .top_k = 7},
      {.temperature = 1, .top_k = 50, .top_p = 0.9f},
      {.temperature = 0.8f, .top_p = 0.95f},
      {.temperature = 1, .top_p = 0},
      {.temperature = 1, .top_p = 0.01f, .min_p = 0.5f},
      {.temperature = 1, .min_p = 0.05f},
      {.temperature = 2, .top_k = 200, .top_p = 0.99f, .min_p = 0.001f},
      {.temperature = 1, .top_k = 100000},
      {.temperature = 1e-6f},
  };
  for (SampleParams p : settings)
    for (int vocab : {1, 2, 15, 16, 17, 1003})
      for (float spread : {0.01f, 1.0f, 8.0f}) {
        p.seed = static_cast<std::uint64_t>(vocab);
        SCOPED_TRACE(testing::Message() << "temperature " << p.temperature << " top_k " << p.top_k << " top_p " << p.top_p
                                        << " min_p " << p.min_p << " vocab " << vocab << " spread " << spread);
        same_params(6, vocab, spread, p).check(spread == 1.0f);
      }
}

// Rows of several blocks on a GPU.
TEST(Sample, LongRows) {
  for (SampleParams p : {SampleParams{.temperature = 0}, SampleParams{.temperature = 1}, SampleParams{.temperature = 1, .top_k = 1},
                         SampleParams{.temperature = 1, .top_k = 50, .top_p = 0.9f},
                         SampleParams{.temperature = 0.8f, .top_k = 3000, .top_p = 0.95f, .min_p = 0.002f},
                         SampleParams{.temperature = 1, .top_p = 1e-6f}, SampleParams{.temperature = 6, .top_p = 0.7f}}) {
    p.seed = 5;
    Rows r = same_params(2, 20001, 2, p);
    r.check();
    r.vocab = r.ld;  // in vectors, where rows are aligned
    r.check();
    std::fill(r.logits.begin(), r.logits.begin() + r.ld / 2, -INFINITY);
    r.check();
  }
  for (const SampleParams p : {SampleParams{.temperature = 1}, SampleParams{.temperature = 1, .top_k = 9000}}) {
    Rows equal = same_params(1, 10001, 1, p);
    std::fill(equal.logits.begin(), equal.logits.end(), -1.5f);
    equal.check();
  }
}

// Cuts among tokens that look alike, in all sizes that a GPU treats on their own: compared each with each, divided first, listed,
// or too many to be listed.
TEST(Sample, CutsAmongTies) {
  constexpr int vocab = 10001, most_listed = 2433;
  for (const int equal : {128, 129, most_listed, most_listed + 1})
    for (SampleParams p : {SampleParams{.temperature = 1, .top_k = equal / 2}, SampleParams{.temperature = 3, .top_p = 0.6f}}) {
      p.seed = static_cast<std::uint64_t>(equal);
      SCOPED_TRACE(testing::Message() << equal << " equal, top_k " << p.top_k);
      Rows r = same_params(1, vocab, 1, p);
      std::fill(r.logits.begin(), r.logits.end(), -INFINITY);
      for (int i = 0; i < equal; ++i) r.logits[static_cast<std::size_t>((i * 37 + 5) % vocab)] = 0.75f;
      r.check();
    }
}
TEST(Sample, CutsAmongNeighbours) {
  for (SampleParams p :
       {SampleParams{.temperature = 1, .top_p = 0.5f}, SampleParams{.temperature = 1, .top_k = 5000, .min_p = 0.36f},
        SampleParams{.temperature = 100, .top_k = 7000, .top_p = 0.9f}}) {
    Rows r = same_params(1, 10001, 1e-3f, p);  // of both signs: keys far apart, weights in two bins
    for (std::size_t i = 0; i < r.logits.size(); i += 50) r.logits[i] = i % 100 == 0 ? 0.0f : -0.0f;
    r.check();
    r.logits[77] = 1;
    r.check();
  }
}

TEST(Sample, MaskedAndEqualLogits) {
  for (const SampleParams p :
       {SampleParams{.temperature = 0}, SampleParams{.temperature = 1}, SampleParams{.temperature = 1, .top_k = 5},
        SampleParams{.temperature = 1, .top_p = 0.5f}, SampleParams{.temperature = 1, .min_p = 0.9f}}) {
    Rows r = same_params(40, 300, 1, p);
    for (std::size_t i = 0; i < r.logits.size(); ++i) {
      if (i % 3 == 0) r.logits[i] = -INFINITY;                  // a grammar's mask
      if (i % 3 == 1) r.logits[i] = static_cast<float>(i % 4);  // ties, zeros of both signs among them
      if (i % 24 == 4) r.logits[i] = -0.0f;
    }
    r.check();
    std::fill(r.logits.begin(), r.logits.end(), 2.5f);
    r.check();
  }
}

TEST(Sample, TiesGoToTheLowestId) {
  Rows r = same_params(1, 100, 1, {.temperature = 0});
  r.logits[70] = r.logits[33] = r.logits[98] = 9;
  at_every_level([&] {
    EXPECT_EQ(r.on<Cpu>(pool(1))[0], 33);
    r.params[0] = {.temperature = 1, .top_k = 1};
    EXPECT_EQ(r.on<Cpu>(pool(1))[0], 33);
  });
}

TEST(Sample, BestTokensAreOrdered) {
  using kernels::BestToken;
  const float rising[] = {-INFINITY, -3e38f, -1, -1e-40f, 0, 1e-40f, 1, 3e38f, INFINITY};
  std::uint64_t before = 0;
  for (const float logit : rising) {
    EXPECT_LT(before, BestToken::of(logit, 0x7ffffffe));
    before = BestToken::of(logit, 0);
    EXPECT_LT(BestToken::of(logit, 1), before) << "ties go to the lowest id";
    EXPECT_EQ(BestToken::logit(before), logit);
    EXPECT_EQ(BestToken::token(BestToken::of(logit, 151935)), 151935);
  }
  EXPECT_EQ(BestToken::of(-0.0f, 7), BestToken::of(0.0f, 7));
  EXPECT_EQ(BestToken::of(NAN, 7), 0u);
  EXPECT_EQ(BestToken::of(-NAN, 7), 0u);
  EXPECT_EQ(BestToken::token(0), 0);
  EXPECT_EQ(BestToken::logit(0), -INFINITY);
}

TEST(Sample, TopOneIsGreedy) {
  Rows one = same_params(20, 2000, 3, {.temperature = 0.7f, .top_k = 1}), greedy = one;
  for (auto& p : greedy.params) p.temperature = 0;
  EXPECT_EQ(one.on<Cpu>(pool(2)), greedy.on<Cpu>(pool(2)));
}

TEST(Sample, ARowDoesNotDependOnItsBatch) {
  const Rows all = same_params(9, 3000, 2, {.temperature = 1, .top_k = 40, .top_p = 0.9f, .seed = 3});
  const std::vector<int> together = all.on<Cpu>(pool(2));
  for (std::size_t i = 0; i < 9; ++i) {
    const auto first = all.logits.begin() + static_cast<std::ptrdiff_t>(i) * all.ld;
    const Rows one{{first, first + all.ld}, {all.params[i]}, all.vocab, all.ld};
    EXPECT_EQ(one.on<Cpu>(pool(1))[0], together[i]);
  }
}

TEST(Sample, NaNLogitsChooseSomeToken) {
  for (const SampleParams p :
       {SampleParams{.temperature = 0}, SampleParams{.temperature = 1, .top_k = 3, .top_p = 0.5f, .min_p = 0.1f}}) {
    Rows r = same_params(2, 200, 1, p);
    std::fill(r.logits.begin(), r.logits.begin() + r.ld, NAN);
    for (std::size_t i = 0; i < 200; i += 2) r.logits[static_cast<std::size_t>(r.ld) + i] = NAN;
    const auto in_range = [](const std::vector<int>& tokens) {
      for (int token : tokens) {
        EXPECT_GE(token, 0);
        EXPECT_LT(token, 200);
      }
      return tokens;
    };
    at_every_level([&] { in_range(r.on<Cpu>(pool(2))); });
    on_every_wave([&]<class B>(B, typename B::stream machine) {
      const auto got = in_range(r.on<B>(machine));
      EXPECT_EQ((r.on<B, true>(machine)), got);
      return got;
    });
  }
}

// Pearson's statistic of many draws against the exact distribution: 99.99 % quantiles, fixed seed.
TEST(Sample, FollowsTheDistribution) {
  constexpr int vocab = 12, rows = 200, steps = 100;
  Rows r = same_params(rows, vocab, 1, {.temperature = 0.9f, .top_k = 9, .seed = 11});
  for (int i = 1; i < rows; ++i) std::copy_n(r.logits.begin(), vocab, r.logits.begin() + i * r.ld);
  std::vector<int> order(vocab), drawn(vocab);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](int a, int b) { return r.logits[static_cast<std::size_t>(a)] > r.logits[static_cast<std::size_t>(b)]; });
  for (int step = 0; step < steps; ++step) {
    for (int i = 0; i < rows; ++i) r.params[static_cast<std::size_t>(i)].counter = static_cast<std::uint64_t>(step * rows + i);
    for (int token : r.on<Cpu>(pool(2))) ++drawn[static_cast<std::size_t>(token)];
  }
  double total = 0, chi = 0;
  for (int k = 0; k < 9; ++k)
    total += std::exp(double{r.logits[static_cast<std::size_t>(order[static_cast<std::size_t>(k)])]} / 0.9);
  for (int k = 0; k < vocab; ++k) {
    const auto token = static_cast<std::size_t>(order[static_cast<std::size_t>(k)]);
    if (k >= 9) {
      EXPECT_EQ(drawn[token], 0);
      continue;
    }
    const double expected = rows * steps * std::exp(double{r.logits[token]} / 0.9) / total;
    chi += (drawn[token] - expected) * (drawn[token] - expected) / expected;
  }
  EXPECT_LT(chi, 31.8);  // 8 degrees of freedom
}

}  // namespace
}  // namespace atom
