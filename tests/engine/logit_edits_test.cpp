#include "atom/engine/logit_edits.hpp"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <map>
#include <random>

namespace atom::engine {
namespace {

using Row = std::vector<float>;

Row noise(std::size_t n, unsigned seed = 1) {
  std::mt19937 random(seed);
  Row row(n);
  for (float& x : row) x = std::normal_distribution<float>(0, 3)(random);
  return row;
}

TEST(LogitEdits, AreNotMadeWhereNothingIsAsked) {
  const int forbidden[] = {1};
  EXPECT_EQ(LogitEdits::make({}, {}, forbidden, 10), nullptr);
  SamplingParams p;
  p.min_tokens = 2;
  EXPECT_EQ(LogitEdits::make(p, {}, {}, 10), nullptr);
  EXPECT_NE(LogitEdits::make(p, {}, forbidden, 10), nullptr);
}

TEST(LogitEdits, PenaltiesByHand) {
  SamplingParams p;
  p.repetition_penalty = 2;
  p.frequency_penalty = 0.25;
  p.presence_penalty = 1;
  p.logit_bias = {{4, 1.5}, {5, -3}};
  const int prompt[] = {0, 1, 0};
  const auto edits = LogitEdits::make(p, prompt, {}, 10);
  for (const int token : {2, 2, 1}) edits->count(token);
  Row x = {4, -4, 4, 4, 4, 4};
  edits->apply(x.data(), 3);
  EXPECT_EQ(x, (Row{2, -8 - 1.25f, 2 - 1.5f, 4, 5.5f, 1}));
}

TEST(LogitEdits, ForbidUntilMinTokens) {
  SamplingParams p;
  p.min_tokens = 2;
  const int forbidden[] = {1};
  const auto edits = LogitEdits::make(p, {}, forbidden, 10);
  for (const int generated : {0, 1, 2}) {
    Row x = {1, 1};
    edits->apply(x.data(), generated);
    EXPECT_EQ(x[1], generated < 2 ? -INFINITY : 1);
  }
}

TEST(LogitEdits, RestoreEveryBit) {
  SamplingParams p;
  p.repetition_penalty = 1.3;
  p.frequency_penalty = 0.1;
  p.min_tokens = 1000;
  p.logprobs = 0;
  p.logit_bias = {{7, 1.1}, {7, 2.2}, {50000, -9.9}};  // twice the same token
  std::mt19937 random(2);
  std::vector<int> prompt(3000);
  for (int& t : prompt) t = static_cast<int>(random() % 100000);
  const int forbidden[] = {7, 8};
  const auto edits = LogitEdits::make(p, prompt, forbidden, 2000, 3);
  for (int i = 0; i < 1990; ++i) edits->count(static_cast<int>(random() % 100000));
  const Row before[] = {noise(100000, 5), noise(100000, 6), noise(100000, 7)};
  Row x[] = {before[0], before[1], before[2]};
  for (int i = 0; i < 3; ++i) {  // each as if one more token had been generated
    edits->apply(x[i].data(), 990 + i);
    edits->count(8 + i);
    EXPECT_NE(x[i], before[i]);
  }
  for (int i = 3; i-- > 0;) {
    edits->restore(x[i].data());
    edits->take_back(8 + i);
    EXPECT_EQ(x[i], before[i]);
  }
}

TEST(TokenCounts, CountLikeAMap) {
  std::mt19937 random(3);
  TokenCounts counts(5000);
  std::map<int, int> want;
  for (int i = 0; i < 5000; ++i) {
    const int token = static_cast<int>(random() % 700) * 1024, times = static_cast<int>(random() % 2);
    counts.add(token, times);
    want[token] += times;
  }
  EXPECT_EQ(counts.entries().size(), want.size());
  for (const auto& [token, times, in_prompt] : counts.entries()) EXPECT_EQ(times, want.at(token));
}

// What was counted and taken back leaves no trace, whatever was there before.
TEST(TokenCounts, TakeBackLikeAMap) {
  std::mt19937 random(4);
  TokenCounts counts(3000);
  std::map<int, int> want;
  for (int i = 0; i < 50; ++i) {
    const int token = static_cast<int>(random() % 100) * 1024;
    counts.add(token, 0);
    want[token];
  }
  for (int i = 0; i < 1000; ++i) {
    std::vector<int> tried(random() % 5);
    for (int& t : tried) {
      t = static_cast<int>(random() % 300) * 1024;
      counts.add(t, 1);
    }
    for (; !tried.empty(); tried.pop_back()) counts.take_back(tried.back());
    const int token = static_cast<int>(random() % 300) * 1024;
    counts.add(token, 1);
    ++want[token];
  }
  EXPECT_EQ(counts.entries().size(), want.size());
  for (const auto& [token, times, in_prompt] : counts.entries()) EXPECT_EQ(times, want.at(token));
}

TEST(LogProbabilities, AreTheSoftmaxAndItsBest) {
  Row x = noise(5000);
  x[17] = x[4000] = 40;  // a tie: the lower id first
  double sum = 0;
  for (const float v : x) sum += std::exp(double{v});
  std::vector<TokenLogprob> out(6);
  log_probabilities(x.data(), 5000, 9, 5, out.data());
  EXPECT_EQ(out[0].token, 9);
  EXPECT_NEAR(double{out[0].logprob}, double{x[9]} - std::log(sum), 1e-5);
  EXPECT_EQ(out[1].token, 17);
  EXPECT_EQ(out[2].token, 4000);
  EXPECT_NEAR(double{out[1].logprob}, std::log(0.5), 1e-6);
  for (std::size_t i = 2; i < 6; ++i) EXPECT_GE(out[i - 1].logprob, out[i].logprob);
  for (int v = 0; v < 5000; ++v)
    if (x[static_cast<std::size_t>(v)] > x[static_cast<std::size_t>(out[5].token)]) {
      EXPECT_TRUE(std::ranges::any_of(out, [&](const TokenLogprob& t) { return t.token == v; }));
    }
}

TEST(LogProbabilities, MoreThanTheVocabularyHolds) {
  const Row x = {0, 1};
  std::vector<TokenLogprob> out(4);
  log_probabilities(x.data(), 2, 0, 3, out.data());
  EXPECT_EQ(out[1].token, 1);
  EXPECT_EQ(out[2].token, 0);
  EXPECT_EQ(out[3].token, -1);
}

}  // namespace
}  // namespace atom::engine
