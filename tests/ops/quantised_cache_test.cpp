// Caches of int8 and fp8: their codecs, kv_write and paged_attention on Cpu and Emu against Ref, and Ref against arithmetic in
// double on what was stored.
#include "attention_batch.hpp"

namespace atom {
namespace {

using namespace test;
using kernels::AttnFlags;
using Int8 = quant::PerToken<int8>;
using Fp8 = quant::PerToken<fp8_e4m3>;

TEST(Fp8, EveryCodeIsItsValue) {
  for (int code = 0; code < 256; ++code) {
    fp8_e4m3 x;
    x.raw = static_cast<std::uint8_t>(code);
    const auto value = static_cast<float>(x);
    const int exponent = code >> 3 & 15, mantissa = code & 7;
    if ((code & 0x7f) == 0x7f) {
      EXPECT_TRUE(std::isnan(value));
      continue;
    }
    const float size =
        exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9) : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
    EXPECT_EQ(value, code & 0x80 ? -size : size);
    EXPECT_EQ(fp8_e4m3(value).raw, code);
  }
}

TEST(Fp8, RoundsToTheNearestAndHalvesToEven) {
  for (int code = 0; code < 0x7e; ++code) {
    fp8_e4m3 low, high;
    low.raw = static_cast<std::uint8_t>(code), high.raw = static_cast<std::uint8_t>(code + 1);
    const float half = (static_cast<float>(low) + static_cast<float>(high)) / 2;
    for (const float sign : {1.0f, -1.0f}) {
      const int bit = sign < 0 ? 0x80 : 0;
      EXPECT_EQ(fp8_e4m3(sign * half).raw, bit | (code % 2 == 0 ? code : code + 1));
      EXPECT_EQ(fp8_e4m3(sign * std::nextafter(half, 0.0f)).raw, bit | code);
      EXPECT_EQ(fp8_e4m3(sign * std::nextafter(half, 500.0f)).raw, bit | (code + 1));
    }
  }
}

TEST(Fp8, SaturatesAndKeepsNaN) {
  for (const float x : {448.0f, 449.0f, 464.0f, 1e30f, INFINITY}) {
    EXPECT_EQ(static_cast<float>(fp8_e4m3(x)), 448);
    EXPECT_EQ(static_cast<float>(fp8_e4m3(-x)), -448);
  }
  EXPECT_TRUE(std::isnan(static_cast<float>(fp8_e4m3(NAN))));
}

template <class Q> void check_scale_and_range() {
  using C = quant::codec<Q>;
  const float x[] = {3, -12.7f, 0.001f, NAN}, zeros[4] = {};
  const float scale = C::scale_of(x, 4);
  EXPECT_EQ(scale, 12.7f / C::largest);
  EXPECT_FLOAT_EQ(C::decode(C::encode(x[1], scale), scale), x[1]);
  EXPECT_EQ(static_cast<float>(C::encode(NAN, scale)), -C::largest);
  EXPECT_EQ(C::scale_of(zeros, 4), 0);
  EXPECT_EQ(static_cast<float>(C::encode(0, 0)), 0);
}
TEST(Codec, ScaleAndRange) {
  check_scale_and_range<Int8>();
  check_scale_and_range<Fp8>();
}

TEST(QuantisedCache, ScalesLieBehindTheRowsOfTheirPage) {
  using layout = kernels::KvLayout<Int8, 64>;
  std::vector<int8> pages(layout::elements(3, 2));
  EXPECT_EQ(pages.size(), 3u * 2 * 16 * (64 + 4));
  EXPECT_EQ(layout::at(0, 1, 0, 2), 16u * (64 + 4));
  EXPECT_EQ(static_cast<void*>(layout::scale(pages.data(), 0, 0, 3, 2)), pages.data() + 16 * 64 + 3 * 4);
  EXPECT_EQ(static_cast<void*>(layout::scale(pages.data(), 2, 1, 15, 2) + 1), pages.data() + pages.size());
  EXPECT_EQ(layout::bytes_per_token(2), 2u * 2 * (64 + 4));
}

template <class Kv, int D> void check_write(int rows, int kv_heads) {
  const int ld = (2 + 2 * kv_heads) * D;
  auto qkv = noise<bf16>(static_cast<std::size_t>(rows) * static_cast<std::size_t>(ld), 3);
  for (int r = 0; r < rows; ++r)  // rows of every size, with what is special in some
    for (int i = 0; i < ld; ++i) {
      bf16& x = qkv[static_cast<std::size_t>(r * ld + i)];
      const auto was = static_cast<float>(x);
      x = bf16(r % 7 == 1 ? 0.0f : std::ldexp(was, r % 7 == 2 ? -130 : 9 * (r % 5) - 18));
      if (r % 7 == 3 && i % 29 == 5) x = bf16(NAN);
      if (r % 7 == 4 && i % 31 == 7) x = bf16(INFINITY);
      if (r % 7 == 5) x = bf16(std::ldexp(was, -(i % 16)));  // from large to what becomes subnormal
    }
  check_kv_write<Kv, D>(qkv, rows, kv_heads);
}
TEST(QuantisedCache, WritesEqualReference) {
  for (int rows : {0, 1, 37, 200}) {
    check_write<Int8, 64>(rows, 2);
    check_write<Int8, 128>(rows, 3);
    check_write<Fp8, 64>(rows, 3);
    check_write<Fp8, 128>(rows, 1);
    check_write<Fp8, 96>(rows, 2);
  }
}

// One query row over `tokens` tokens: Ref on the quantised cache against double on the rows themselves. An element is off by half
// its row's scale (int8), or by 2^-4 of itself or 2^-10 of the scale (fp8), at most; so scores are off by delta, every probability
// by a factor within e^(2 delta) of 1, and the output by what that and the values' own error amount to.
template <class Kv> void check_error(int tokens, double typical) {
  constexpr int D = 64;
  using layout = kernels::KvLayout<Kv, D>;
  using codec = quant::codec<Kv>;
  const auto n = static_cast<std::size_t>(tokens * D);
  const auto q = noise<float>(D, 1), k = noise<float>(n, 2), v = noise<float>(n, 3);
  std::vector<typename layout::element> k_pages(layout::elements(static_cast<std::size_t>(tokens / 16 + 1), 1)), v_pages = k_pages;
  std::vector<int> slots(static_cast<std::size_t>(tokens)), table(static_cast<std::size_t>(tokens / 16 + 1));
  std::iota(slots.begin(), slots.end(), 0);
  std::iota(table.begin(), table.end(), 0);
  run_on<kernels::kv_write<float, Kv, D>, Ref>({},
                                               {k.data(), v.data(), k_pages.data(), v_pages.data(), slots.data(), tokens, 1, D});
  const int first_row[] = {0, 1};
  std::vector<float> o(D);
  const float scale = 0.125f;
  run_on<kernels::paged_attention<float, Kv, D>, Ref>(
      {}, {q.data(), o.data(), k_pages.data(), v_pages.data(), table.data(), first_row, &tokens, 1, 1, 1, 1, D,
           static_cast<int>(table.size()), scale});
  const auto off = [](float x, float row_scale) {  // at most
    if (std::is_same_v<Kv, Int8>) return 0.50001 * double{row_scale};
    return 1.00001 * std::max(double{std::fabs(x)} * 0x1p-4, double{row_scale} * 0x1p-10);
  };
  std::vector<double> want(D), size(D), value_off(D);
  double sum = 0, delta = 0;
  for (int t = 0; t < tokens; ++t) {
    const float* key = &k[static_cast<std::size_t>(t * D)];
    const float* value = &v[static_cast<std::size_t>(t * D)];
    const float key_scale = codec::scale_of(key, D), value_scale = codec::scale_of(value, D);
    double score = 0, score_off = 0;
    for (std::size_t d = 0; d < D; ++d) {
      score += double{q[d]} * double{key[d]} * double{scale};
      score_off += std::fabs(double{q[d]}) * off(key[d], key_scale) * double{scale};
    }
    delta = std::max(delta, score_off);
    const double p = std::exp(score);
    sum += p;
    for (std::size_t d = 0; d < D; ++d) {
      want[d] += p * double{value[d]};
      size[d] += p * (std::fabs(double{value[d]}) + off(value[d], value_scale));
      value_off[d] += p * off(value[d], value_scale);
    }
  }
  double squares = 0;
  for (std::size_t d = 0; d < D; ++d) {
    const double error = std::fabs(double{o[d]} - want[d] / sum);
    EXPECT_LE(error, (value_off[d] + std::expm1(2 * delta) * size[d]) / sum + 1e-6) << d;
    squares += error * error;
  }
  EXPECT_LT(std::sqrt(squares / D), typical);
  EXPECT_GT(squares, 0);
}
TEST(QuantisedCache, ReferenceIsAsExactAsItsCodes) {
  for (const int tokens : {1, 17, 100}) {
    check_error<Int8>(tokens, 0.01);
    check_error<Fp8>(tokens, 0.05);
  }
}

template <class K> struct QuantisedAttention : testing::Test {};
using Keys =
    testing::Types<Key<bf16, Int8, 64>, Key<bf16, Int8, 128>, Key<bf16, Fp8, 64>, Key<bf16, Fp8, 128>, Key<bf16, Int8, 80>>;
TYPED_TEST_SUITE(QuantisedAttention, Keys);
template <class K> using BatchOf = AttentionBatch<typename K::T, typename K::Kv, K::D>;

TYPED_TEST(QuantisedAttention, Prefill) {
  BatchOf<TypeParam>(4, 2, {{1, 1}, {2, 2}, {15, 15}, {16, 16}, {17, 17}, {33, 33}, {140, 140}}).check();
  BatchOf<TypeParam>(4, 2, {{3, 20}, {40, 130}, {2, 257}, {31, 32}, {129, 400}}).check();
}
TYPED_TEST(QuantisedAttention, Decode) {
  BatchOf<TypeParam>(4, 2, {{1, 1}, {1, 7}, {1, 16}, {1, 17}, {1, 127}, {1, 128}, {1, 129}, {1, 511}, {1, 513}, {1, 1200}}).check();
}
TYPED_TEST(QuantisedAttention, EveryGroup) {
  for (int group : {1, 2, 4, 5, 8, 16, 17}) {
    SCOPED_TRACE(group);
    BatchOf<TypeParam>(group * 2, 2, {{1, 40}, {0, 30}, {1, 700}, {19, 37}, {5, 5}}).check();
  }
}
TYPED_TEST(QuantisedAttention, ScoresFarApart) { BatchOf<TypeParam>(4, 2, {{1, 700}, {70, 200}}, 12).check(); }
TYPED_TEST(QuantisedAttention, WindowAndSinks) {
  for (int group : {1, 7}) check_windows<TypeParam, AttnFlags{.window = true, .sinks = true}>(group);
}

}  // namespace
}  // namespace atom
