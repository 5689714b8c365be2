#include "atom/ops/rope_table.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <utility>
#include <vector>

namespace atom::ops {
namespace {

using model::RopeConfig;
using Kind = RopeConfig::Kind;

/// Expected values: an independent double-precision script, rounded to float and printed with 9 digits.
void expect_frequencies(const RopeConfig& rope, const std::vector<std::pair<int, float>>& expected) {
  const std::vector<float> f = inv_freq(rope);
  ASSERT_EQ(f.size(), static_cast<std::size_t>(rope.rotary_dim / 2));
  for (const auto& [i, value] : expected) EXPECT_EQ(f[static_cast<std::size_t>(i)], value) << "index " << i;
}

const RopeConfig plain{.theta = 1e6, .rotary_dim = 64};
const RopeConfig llama31{.kind = Kind::llama3,
                         .theta = 5e5,
                         .factor = 8,
                         .low_freq_factor = 1,
                         .high_freq_factor = 4,
                         .original_max_position = 8192,
                         .rotary_dim = 128};
const RopeConfig qwen3_yarn{.kind = Kind::yarn, .theta = 1e6, .factor = 4, .original_max_position = 32768, .rotary_dim = 128};
const RopeConfig gpt_oss{
    .kind = Kind::yarn, .theta = 150000, .factor = 32, .original_max_position = 4096, .truncate = false, .rotary_dim = 64};
const RopeConfig deepseek{.kind = Kind::yarn,
                          .theta = 1e4,
                          .factor = 40,
                          .mscale = 1,
                          .mscale_all_dim = 1,
                          .original_max_position = 4096,
                          .rotary_dim = 64};

TEST(RopeTable, StandardFrequencies) {
  expect_frequencies(plain, {{0, 1.0f}, {1, 6.49381638e-1f}, {16, 1.00000005e-3f}, {31, 1.53992653e-6f}});
}

TEST(RopeTable, LinearDividesAll) {
  RopeConfig linear = plain;
  linear.kind = Kind::linear;
  linear.factor = 4;  // a power of two: exact
  const auto f = inv_freq(plain), g = inv_freq(linear);
  for (std::size_t i = 0; i < f.size(); ++i) EXPECT_EQ(g[i], f[i] / 4);
}

TEST(RopeTable, Llama3Frequencies) {
  expect_frequencies(llama31, {{0, 1.0f},
                               {1, 8.14617217e-1f},
                               {28, 3.21144611e-3f},
                               {29, 2.16657086e-3f},
                               {32, 5.24846138e-4f},
                               {34, 1.78507806e-4f},
                               {35, 9.55621217e-5f},
                               {63, 3.06892588e-7f}});
  EXPECT_EQ(attention_scaling(llama31), 1);
}

TEST(RopeTable, Llama3BandsBeginAndEndWhereTheyShould) {
  RopeConfig standard = llama31;
  standard.kind = Kind::standard;
  const auto f = inv_freq(standard), g = inv_freq(llama31);
  for (std::size_t i = 0; i < 64; ++i) {
    if (i <= 28) {
      EXPECT_EQ(g[i], f[i]) << i;
    } else if (i <= 34) {
      EXPECT_TRUE(g[i] < f[i] && g[i] > f[i] / 8) << i;
    } else {
      EXPECT_EQ(g[i], f[i] / 8) << i;
    }
  }
}

TEST(RopeTable, YarnFrequencies) {
  expect_frequencies(qwen3_yarn, {{0, 1.0f},
                                  {1, 8.05842161e-1f},
                                  {23, 6.97830599e-3f},
                                  {24, 5.37532149e-3f},
                                  {32, 6.02941203e-4f},
                                  {39, 6.49039430e-5f},
                                  {40, 4.44569851e-5f},
                                  {63, 3.10234441e-7f}});
  expect_frequencies(gpt_oss, {{0, 1.0f},
                               {1, 6.89044297e-1f},
                               {8, 5.08132763e-2f},
                               {9, 3.17056961e-2f},
                               {12, 6.79495931e-3f},
                               {17, 1.29318694e-4f},
                               {18, 3.83088118e-5f},
                               {31, 3.02351140e-7f}});
  expect_frequencies(deepseek, {{0, 1.0f},
                                {1, 7.49894202e-1f},
                                {10, 5.62341325e-2f},
                                {11, 3.90069261e-2f},
                                {16, 5.49999997e-3f},
                                {22, 1.77827940e-4f},
                                {23, 3.33380376e-5f},
                                {31, 3.33380353e-6f}});
}

TEST(RopeTable, YarnScaling) {
  EXPECT_FLOAT_EQ(attention_scaling(qwen3_yarn), 1.1386294f);
  EXPECT_FLOAT_EQ(attention_scaling(gpt_oss), 1.3465736f);
  EXPECT_EQ(attention_scaling(deepseek), 1) << "mscale and mscale_all_dim cancel";
  RopeConfig r = deepseek;
  r.mscale = 0.707;
  EXPECT_FLOAT_EQ(attention_scaling(r), 1.2608040f / 1.3688879f);
  r.mscale_all_dim = 0;
  EXPECT_FLOAT_EQ(attention_scaling(r), 1.3688879f) << "one of the two alone has no effect";
  r.attention_factor = 1.5;
  EXPECT_EQ(attention_scaling(r), 1.5f) << "an explicit factor wins";
  r.attention_factor = 0;
  r.factor = 1;
  EXPECT_EQ(attention_scaling(r), 1);
}

TEST(RopeTable, YarnRampOfNoWidthIsFinite) {
  RopeConfig r = qwen3_yarn;
  r.truncate = false;
  r.beta_fast = r.beta_slow = 8;  // low == high
  for (const float f : inv_freq(r)) EXPECT_TRUE(std::isfinite(f) && f > 0);
}

TEST(RopeTable, RowsAreCosinesThenSinesOfFloatAngles) {
  const int positions = 1200, half = 32;
  std::vector<float> table(static_cast<std::size_t>(positions * 2 * half), -7.0f);
  fill_rope_table(plain, positions, table.data());
  const auto f = inv_freq(plain);
  for (const int p : {0, 1, 2, 511, 1199}) {
    for (int i = 0; i < half; ++i) {
      const float* row = table.data() + p * 2 * half;
      const float angle = static_cast<float>(p) * f[static_cast<std::size_t>(i)];
      EXPECT_NEAR(row[i], std::cos(static_cast<double>(angle)), 6e-8) << p << ' ' << i;
      EXPECT_NEAR(row[half + i], std::sin(static_cast<double>(angle)), 6e-8) << p << ' ' << i;
    }
  }
  EXPECT_EQ(table[0], 1.0f);
  EXPECT_EQ(table[half], 0.0f);
}

TEST(RopeTable, AnglesAreRoundedToFloat) {
  // At this position a double angle would differ visibly from the float product.
  const int p = 100003;
  std::vector<float> table(static_cast<std::size_t>(p + 1) * 64);
  fill_rope_table(plain, p + 1, table.data());
  const float f = inv_freq(plain)[1], rounded = static_cast<float>(p) * f;
  const double exact = static_cast<double>(p) * static_cast<double>(f);
  ASSERT_GT(std::abs(static_cast<double>(rounded) - exact), 1e-4) << "the position must tell the two apart";
  EXPECT_NEAR(table[static_cast<std::size_t>(p) * 64 + 1], std::cos(static_cast<double>(rounded)), 6e-8);
}

TEST(RopeTable, ScalingMultipliesBoth) {
  std::vector<float> row(128);
  fill_rope_table(qwen3_yarn, 1, row.data());
  EXPECT_EQ(row[0], attention_scaling(qwen3_yarn));
  std::vector<float> rows(256);
  fill_rope_table(qwen3_yarn, 2, rows.data());
  const double c = static_cast<double>(rows[128]), s = static_cast<double>(rows[128 + 64]);
  EXPECT_NEAR(std::sqrt(c * c + s * s), 1.1386294, 1e-6);
}

}  // namespace
}  // namespace atom::ops
