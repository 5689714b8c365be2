// gate_mul and sigmoid_gate on Cpu, silu_mul on Emu too, against Ref; quantised against unquantised.
#include <cmath>
#include <gtest/gtest.h>

#include "atom/ops/activation_cpu.hpp"
#include "atom/ops/activation_gpu.hpp"
#include "atom/ops/activation_ref.hpp"

#include "conformance.hpp"
#include "cpu_setting.hpp"
#include "emu_setting.hpp"

namespace atom {
namespace {

using namespace test;
using quant::Keep;
using Int8 = quant::PerToken<int8>;
using codec = quant::codec<Int8>;

std::size_t size(int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }

template <class T> struct Case {
  int rows, cols, ldx;
  std::vector<T> x;
  Case(int r, int c, float spread) : rows(r), cols(c), ldx(2 * c + 3), x(noise<T>(size(r, ldx), 1, spread)) {}

  template <class Backend, class A = activation::Silu> std::vector<T> plain(typename Backend::stream stream) const {
    std::vector<T> y(size(rows, cols));
    run_on<kernels::gate_mul<A, Keep, T>, Backend>(stream, {x.data(), y.data(), nullptr, nullptr, rows, cols, ldx});
    return y;
  }
  struct Codes {
    std::vector<int8> q;
    std::vector<float> scale;
    bool operator==(const Codes&) const = default;
  };
  template <class Backend, class A = activation::Silu> Codes quantized(typename Backend::stream stream) const {
    Codes c{std::vector<int8>(size(rows, cols)), std::vector<float>(static_cast<std::size_t>(rows))};
    run_on<kernels::gate_mul<A, Int8, T>, Backend>(stream, {x.data(), nullptr, c.q.data(), c.scale.data(), rows, cols, ldx});
    return c;
  }
};

// Cpu's gates of bf16 are approximate before they are rounded: of two roundings each may go the other way, but few do.
template <class T> constexpr float two_roundings = std::same_as<T, float> ? 16 * ulp<T> : 4 * ulp<T>;
template <class T> testing::AssertionResult follows(const std::vector<T>& got, const std::vector<T>& want) {
  std::size_t others = 0;
  for (std::size_t i = 0; i < got.size(); ++i) others += got[i] == want[i] ? 0 : 1;
  if (std::same_as<T, bf16> && others > 1 + got.size() / 50)
    return testing::AssertionFailure() << others << " of " << got.size() << " are rounded in another way";
  return close(got, want, 1e-30f, two_roundings<T>);
}

template <class T> struct SiluMul : testing::Test {};
using Types = testing::Types<float, bf16>;
TYPED_TEST_SUITE(SiluMul, Types);

TYPED_TEST(SiluMul, EqualsReference) {
  using T = TypeParam;
  for (const auto& shape : {std::pair{0, 8}, {1, 1}, {3, 15}, {2, 16}, {4, 33}, {1, 3072}, {40, 1000}})
    for (float spread : {0.01f, 1.0f, 30.0f}) {
      const int rows = shape.first, cols = shape.second;
      SCOPED_TRACE(testing::Message() << rows << " x " << cols << " spread " << spread);
      const Case<T> c(rows, cols, spread);
      const auto want = c.template plain<Ref>({});
      const auto want_q = c.template quantized<Ref>({});
      const auto agree = [&](const std::vector<T>& got, const typename Case<T>::Codes& got_q) {
        EXPECT_TRUE(follows(got, want));
        EXPECT_TRUE(close(got_q.scale, want_q.scale, 0, 4 * ulp<bf16>));
        for (int r = 0; r < rows; ++r) {
          std::vector<float> y;
          for (int i = 0; i < cols; ++i) y.push_back(static_cast<float>(got[size(r, cols) + static_cast<std::size_t>(i)]));
          const float scale = codec::scale_of(y.data(), cols);
          ASSERT_EQ(got_q.scale[static_cast<std::size_t>(r)], scale);
          for (std::size_t i = 0; i < y.size(); ++i)
            ASSERT_EQ(got_q.q[size(r, cols) + i], codec::encode(y[i], scale)) << r << " " << i;
        }
      };
      at_every_level([&] {
        const auto got = c.template plain<Cpu>(pool(2));
        const auto got_q = c.template quantized<Cpu>(pool(2));
        agree(got, got_q);
        for (int threads : {1, 3}) {
          EXPECT_TRUE(identical(c.template plain<Cpu>(pool(threads)), got));
          EXPECT_EQ(c.template quantized<Cpu>(pool(threads)), got_q);
        }
      });
      on_every_wave([&]<class B>(B, typename B::stream machine) {
        const auto got = c.template plain<B>(machine);
        agree(got, c.template quantized<B>(machine));
        return got;
      });
    }
}

template <class A, class T> void follows_reference() {
  for (const auto& shape : {std::pair{0, 8}, {1, 1}, {3, 15}, {4, 33}, {1, 2880}, {40, 200}})
    for (float spread : {0.01f, 1.0f, 30.0f}) {
      SCOPED_TRACE(testing::Message() << std::string_view(A::name()) << " " << shape.first << " x " << shape.second << " spread "
                                      << spread);
      const Case<T> c(shape.first, shape.second, spread);
      const auto want = c.template plain<Ref, A>({});
      const auto want_q = c.template quantized<Ref, A>({});
      at_every_level([&] {
        const auto got = c.template plain<Cpu, A>(pool(2));
        EXPECT_TRUE(close(got, want, 1e-30f, std::same_as<T, float> ? 24 * ulp<T> : 2 * ulp<T>));
        EXPECT_TRUE(identical(c.template plain<Cpu, A>(pool(1)), got));
        const auto codes = c.template quantized<Cpu, A>(pool(2));
        EXPECT_TRUE(close(codes.scale, want_q.scale, 0, 2 * ulp<bf16>));
        for (std::size_t i = 0; i < codes.q.size(); ++i) ASSERT_LE(std::abs(codes.q[i] - want_q.q[i]), 1) << i;
      });
    }
}
TYPED_TEST(SiluMul, OtherActivationsFollowReference) {
  follows_reference<activation::Gelu, TypeParam>();
  follows_reference<activation::ClampedSwiglu, TypeParam>();
}

template <class A, class B> std::vector<float> of(typename B::stream s, const std::vector<std::pair<float, float>>& gate_up) {
  std::vector<float> x, y(gate_up.size());
  for (const auto& v : gate_up) x.push_back(v.first);
  for (const auto& v : gate_up) x.push_back(v.second);
  const int n = static_cast<int>(y.size());
  run_on<kernels::gate_mul<A, Keep, float>, B>(s, {x.data(), y.data(), nullptr, nullptr, 1, n, 2 * n});
  return y;
}
// Computed in double precision, apart from this code.
TEST(GateMul, KnownValues) {
  const std::vector<std::pair<float, float>> swiglu{{1, 1}, {-3, 2}, {10, 10}, {-10, -10}, {2, -9}};
  const std::vector<float> swiglu_want{1.6915915f, -0.0542139f, 55.9996250f, 2.4347768e-6f, -11.6139517f};
  const std::vector<std::pair<float, float>> gelu{{0, 1}, {1, 1}, {-1, 2}, {3, -1}};
  const std::vector<float> gelu_want{0, 0.8413447f, -0.3173105f, -2.9959503f};
  EXPECT_TRUE(close(of<activation::ClampedSwiglu, Ref>({}, swiglu), swiglu_want, 1e-7f, 1e-6f));
  EXPECT_TRUE(close(of<activation::Gelu, Ref>({}, gelu), gelu_want, 1e-7f, 1e-6f));
  at_every_level([&] {
    EXPECT_TRUE(close(of<activation::ClampedSwiglu, Cpu>(pool(1), swiglu), swiglu_want, 1e-7f, 1e-6f));
    EXPECT_TRUE(close(of<activation::Gelu, Cpu>(pool(1), gelu), gelu_want, 1e-7f, 1e-6f));
    const auto extreme = of<activation::ClampedSwiglu, Cpu>(pool(1), {{-3e38f, 1}, {3e38f, 3e38f}, {NAN, 1}, {1, NAN}});
    EXPECT_NEAR(extreme[0], 0, 1e-30f);
    EXPECT_NEAR(extreme[1], 56, 1e-3f);
    EXPECT_TRUE(std::isnan(extreme[2]) && std::isnan(extreme[3]));
  });
}

TYPED_TEST(SiluMul, ExtremeGates) {
  using T = TypeParam;
  Case<T> c(1, 8, 1);
  const float gates[] = {0, -0.0f, 88, -88, 1000, -1000, 3e38f, -3e38f};
  for (std::size_t i = 0; i < 8; ++i) c.x[i] = T(gates[i]), c.x[8 + i] = T(0.5f);
  const auto want = c.template plain<Ref>({});
  at_every_level([&] { EXPECT_TRUE(close(c.template plain<Cpu>(pool(1)), want, 1e-35f, 16 * 0x1p-24f)); });
  on_every_wave([&]<class B>(B, typename B::stream machine) {
    const auto got = c.template plain<B>(machine);
    EXPECT_TRUE(close(got, want, 1e-35f, 16 * 0x1p-24f));
    return got;
  });
}

TYPED_TEST(SiluMul, CodesAreExactAtEveryScale) {
  using T = TypeParam;
  const int cols = 200;
  for (int exponent = -130; exponent <= 120; exponent += 5) {  // from denormal scales to nearly the largest
    SCOPED_TRACE(exponent);
    Case<T> c(3, cols, 1);
    for (int r = 0; r < c.rows; ++r)
      for (int i = 0; i < cols; ++i) {
        c.x[size(r, c.ldx) + static_cast<std::size_t>(i)] = T(2.0f);
        T& up = c.x[size(r, c.ldx) + static_cast<std::size_t>(cols + i)];
        up = T(std::ldexp(static_cast<float>(up), exponent));
      }
    at_every_level([&] {
      const auto y = c.template plain<Cpu>(pool(1));
      const auto got = c.template quantized<Cpu>(pool(1));
      for (int r = 0; r < c.rows; ++r) {
        std::vector<float> row(y.begin() + r * cols, y.begin() + (r + 1) * cols);
        const float scale = codec::scale_of(row.data(), cols);
        ASSERT_EQ(got.scale[static_cast<std::size_t>(r)], scale);
        for (std::size_t i = 0; i < row.size(); ++i)
          ASSERT_EQ(got.q[size(r, cols) + i], codec::encode(row[i], scale)) << r << " " << i;
      }
    });
  }
}

TYPED_TEST(SiluMul, NaNStaysWhereItIs) {
  using T = TypeParam;
  Case<T> c(1, 20, 1);
  c.x[3] = T(NAN);   // a gate
  c.x[37] = T(NAN);  // the up of column 17
  const auto only_there = [](const std::vector<T>& got) {
    for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(std::isnan(static_cast<float>(got[i])), i == 3 || i == 17) << i;
  };
  at_every_level([&] { only_there(c.template plain<Cpu>(pool(1))); });
  on_every_wave([&]<class B>(B, typename B::stream machine) {
    const auto got = c.template plain<B>(machine);
    only_there(got);
    return got;
  });
}

template <class T> struct SigmoidGate : testing::Test {};
TYPED_TEST_SUITE(SigmoidGate, Types);

// A gate for each column, for some, for all; what lies between the rows stays.
TYPED_TEST(SigmoidGate, EqualsReference) {
  using T = TypeParam;
  for (const auto& [rows, cols, gates] :
       {std::tuple{0, 8, 8}, {1, 1, 1}, {3, 37, 37}, {2, 2048, 1}, {5, 96, 4}, {40, 1000, 1000}}) {
    SCOPED_TRACE(testing::Message() << rows << " x " << cols << ", " << gates << " gates");
    const int ldx = cols + 5, ldg = gates + 3;
    const auto x = noise<T>(size(rows, ldx), 1), gate = noise<T>(size(rows, ldg), 2, 20);
    const auto on = [&, rows = rows, cols = cols, gates = gates](auto backend, auto stream) {
      auto y = x;
      run_on<kernels::sigmoid_gate<T>, decltype(backend)>(stream, {y.data(), gate.data(), rows, cols, gates, ldx, ldg});
      return y;
    };
    const auto want = on(Ref{}, Ref::stream{});
    for (int r = 0; r < rows; ++r) EXPECT_EQ(want[size(r, ldx) + size(cols, 1)], x[size(r, ldx) + size(cols, 1)]);
    at_every_level([&] {
      const auto got = on(Cpu{}, pool(2));
      EXPECT_TRUE(follows(got, want));
      for (int threads : {1, 3}) EXPECT_TRUE(identical(on(Cpu{}, pool(threads)), got));
    });
  }
}
TEST(SigmoidGateOf, TwoGatesByHand) {
  std::vector<float> x{4, 4, 4, -4};
  const std::vector<float> gate{0, std::log(3.0f)};
  run_on<kernels::sigmoid_gate<float>, Ref>({}, {x.data(), gate.data(), 1, 4, 2, 4, 2});
  EXPECT_FLOAT_EQ(x[0], 2);
  EXPECT_FLOAT_EQ(x[1], 2);
  EXPECT_FLOAT_EQ(x[2], 3);
  EXPECT_FLOAT_EQ(x[3], -3);
}

}  // namespace
}  // namespace atom
