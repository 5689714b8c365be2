#include "atom/engine/sampling_params.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>

namespace atom::engine {
namespace {

constexpr int vocab = 100;

/// The field that is refused; "" if none.
template <class Edit> std::string refused(Edit edit) {
  SamplingParams p;
  edit(p);
  const auto error = validate(p, vocab);
  return error ? error->field : "";
}

TEST(SamplingParams, DefaultsAreTheSeeds) {
  const SamplingParams p;
  EXPECT_EQ(p.temperature, 1);
  EXPECT_EQ(p.max_tokens, 64);
  EXPECT_FALSE(p.ignore_eos);
  EXPECT_TRUE(p.stop_strings.empty());
  EXPECT_FALSE(validate(p, vocab));
}

TEST(SamplingParams, BAD15ValuesAreRefusedByName) {
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  struct Field {
    const char* name;
    double SamplingParams::*member;
    double low, high;  // accepted
    bool low_is_outside = false;
  };
  const Field fields[] = {{"temperature", &SamplingParams::temperature, 0, 100},
                          {"top_p", &SamplingParams::top_p, 0, 1, true},
                          {"min_p", &SamplingParams::min_p, 0, 1},
                          {"presence_penalty", &SamplingParams::presence_penalty, -2, 2},
                          {"frequency_penalty", &SamplingParams::frequency_penalty, -2, 2},
                          {"repetition_penalty", &SamplingParams::repetition_penalty, 0.01, 100}};
  for (const Field& f : fields) {
    const auto with = [&](double x) { return refused([&](SamplingParams& p) { p.*f.member = x; }); };
    for (const double bad : {nan, inf, -inf, 1e308, -1e308, std::nextafter(f.high, inf), std::nextafter(f.low, -inf)})
      EXPECT_EQ(with(bad), f.name) << bad;
    EXPECT_EQ(with(f.low), f.low_is_outside ? f.name : "");
    EXPECT_EQ(with(f.high), "");
  }
  const double subnormal = std::numeric_limits<double>::denorm_min();
  EXPECT_EQ(refused([&](SamplingParams& p) { p.temperature = p.top_p = p.min_p = subnormal; }), "");
  EXPECT_EQ(refused([](SamplingParams& p) { p.top_k = -2; }), "top_k");
  EXPECT_EQ(refused([](SamplingParams& p) { p.top_k = std::int64_t{1} << 40; }), "");  // all of them
  EXPECT_EQ(refused([](SamplingParams& p) { p.seed = ~std::uint64_t{0}; }), "");
  EXPECT_EQ(refused([](SamplingParams& p) { p.logprobs = 21; }), "logprobs");
  EXPECT_EQ(refused([](SamplingParams& p) { p.logprobs = -2; }), "logprobs");
  EXPECT_EQ(refused([&](SamplingParams& p) { p.logit_bias = {{5, nan}}; }), "logit_bias");
  EXPECT_EQ(refused([](SamplingParams& p) { p.logit_bias = {{5, 100.5}}; }), "logit_bias");
}

TEST(SamplingParams, BAD16FanOutIsLimited) {
  EXPECT_EQ(refused([](SamplingParams& p) { p.n = 1000000; }), "n");
  EXPECT_EQ(refused([](SamplingParams& p) { p.n = 0; }), "n");
  EXPECT_EQ(refused([](SamplingParams& p) { p.stop_strings.assign(65, "x"); }), "stop_strings");
  EXPECT_EQ(refused([](SamplingParams& p) { p.stop_token_ids.assign(1000000, 1); }), "stop_token_ids");
  EXPECT_EQ(refused([](SamplingParams& p) { p.logit_bias.assign(1000000, {1, 1.0}); }), "logit_bias");
  EXPECT_EQ(refused([](SamplingParams& p) { p.n = 128; }), "");
}

TEST(SamplingParams, BAD17LengthsAreJudged) {
  EXPECT_EQ(refused([](SamplingParams& p) { p.max_tokens = 0; }), "max_tokens");
  EXPECT_EQ(refused([](SamplingParams& p) { p.max_tokens = -1; }), "max_tokens");
  EXPECT_EQ(refused([](SamplingParams& p) { p.max_tokens = std::int64_t{1} << 31; }), "");  // until the context ends
  EXPECT_EQ(refused([](SamplingParams& p) { p.min_tokens = -1; }), "min_tokens");
  EXPECT_EQ(refused([](SamplingParams& p) { p.min_tokens = 65; }), "min_tokens");
  EXPECT_EQ(refused([](SamplingParams& p) { p.min_tokens = 64; }), "");
}

TEST(SamplingParams, BAD18StopStringsAreJudged) {
  EXPECT_EQ(refused([](SamplingParams& p) { p.stop_strings = {"ok", ""}; }), "stop_strings");
  EXPECT_EQ(refused([](SamplingParams& p) { p.stop_strings = {std::string(1 << 20, 'x')}; }), "");
  EXPECT_EQ(refused([](SamplingParams& p) { p.stop_strings = {std::string(1 << 20, 'x'), "y"}; }), "stop_strings");
}

TEST(SamplingParams, TokenIdsOutsideTheVocabularyAreRefused) {
  for (const int bad : {-1, vocab, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()}) {
    EXPECT_EQ(refused([&](SamplingParams& p) { p.stop_token_ids = {bad}; }), "stop_token_ids");
    EXPECT_EQ(refused([&](SamplingParams& p) { p.logit_bias = {{bad, 1}}; }), "logit_bias");
  }
}

TEST(SamplingParams, MessagesSayFieldAndRange) {
  SamplingParams p;
  p.min_p = 2;
  EXPECT_EQ(validate(p, vocab)->message(), "min_p: must be between 0 and 1, not 2");
}

TEST(SamplingParams, AnswersHaveSeedsOfTheirOwn) {
  EXPECT_EQ(answer_seed(7, 0), 7u);
  for (int i = 0; i < 128; ++i)
    for (int j = 0; j < i; ++j) EXPECT_NE(answer_seed(7, i), answer_seed(7, j));
}

}  // namespace
}  // namespace atom::engine
