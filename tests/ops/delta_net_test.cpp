// causal_conv, delta_gates and gated_delta on Cpu against Ref: sequences of any length, states that begin, go on and are nobody's;
// and the reference against figures computed by hand.
#include <cmath>
#include <gtest/gtest.h>
#include <numeric>

#include "atom/ops/delta_net_cpu.hpp"
#include "atom/ops/delta_net_ref.hpp"

#include "conformance.hpp"
#include "cpu_setting.hpp"

namespace atom {
namespace {

using namespace test;

struct Part {
  int rows, context;  // context == rows: it begins
  bool padding = false;
};

std::size_t product(int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }

/// Sequences over states in backward order; what no sequence has is NaN, and so is the state of one that begins.
struct Sequences {
  std::vector<int> first_row{0}, context, places;
  std::vector<float> state;
  std::size_t stride;

  Sequences(const std::vector<Part>& parts, std::size_t floats) : stride(floats + 3) {
    state.assign((parts.size() + 1) * stride, NAN);
    const auto past = noise<float>(state.size(), 9, 0.3f);
    int place = static_cast<int>(parts.size());
    for (const Part& p : parts) {
      first_row.push_back(first_row.back() + p.rows);
      context.push_back(p.context);
      places.push_back(p.padding ? -1 : place--);
      if (p.padding || p.context == p.rows) continue;
      const auto at = static_cast<std::size_t>(places.back()) * stride;
      std::copy_n(past.begin() + static_cast<std::ptrdiff_t>(at), floats, state.begin() + static_cast<std::ptrdiff_t>(at));
    }
  }
  [[nodiscard]] int rows() const { return first_row.back(); }
  kernels::Recurrence over(std::vector<float>& states) const {
    return {states.data(), places.data(), first_row.data(), context.data(), static_cast<int>(places.size()), stride};
  }
};
const std::vector<std::vector<Part>> batches = {
    {{1, 1}}, {{1, 7}}, {{2, 2}}, {{3, 10}}, {{70, 70}}, {{5, 9}, {1, 1, true}, {1, 30}, {9, 9}, {2, 3}}, {}};

template <class T> struct Result {
  std::vector<T> y;
  std::vector<float> state;
  bool operator==(const Result& o) const { return identical(y, o.y) && identical(state, o.state); }
};

/// Every level and number of threads gives what the reference gives, and the same bits as each other number.
template <class T, class On> void compare(On on, float absolute, float relative) {
  const Result<T> want = on(Ref{}, Ref::stream{});
  const auto known = [](const std::vector<float>& state) {
    auto copy = state;
    for (float& x : copy) x = std::isnan(x) ? 0 : x;
    return copy;
  };
  at_every_level([&] {
    const Result<T> got = on(Cpu{}, pool(2));
    EXPECT_TRUE(close(got.y, want.y, absolute, relative));
    EXPECT_TRUE(close(known(got.state), known(want.state), absolute, 64 * 0x1p-24f));
    EXPECT_EQ(on(Cpu{}, pool(1)), got);
    EXPECT_EQ(on(Cpu{}, pool(3)), got);
  });
}

template <class T> struct DeltaNet : testing::Test {};
using Types = testing::Types<float, bf16>;
TYPED_TEST_SUITE(DeltaNet, Types);

TYPED_TEST(DeltaNet, ConvEqualsReference) {
  using T = TypeParam;
  for (const auto& parts : batches)
    for (const auto& [channels, taps] : {std::pair{1, 4}, {37, 4}, {600, 4}, {64, 1}, {64, 2}, {40, 8}}) {
      SCOPED_TRACE(testing::Message() << parts.size() << " sequences, " << channels << " channels, " << taps << " taps");
      const Sequences s(parts, product(taps - 1, channels));
      const int ldx = channels + 5;
      const auto x = noise<T>(product(s.rows(), ldx), 1);
      const auto w = noise<float>(product(channels, taps), 2);
      const auto on = [&, channels = channels, taps = taps](auto backend, auto stream) {
        Result<T> r{std::vector<T>(product(s.rows(), channels), T(NAN)), s.state};
        run_on<kernels::causal_conv<T>, decltype(backend)>(
            stream, {x.data(), w.data(), r.y.data(), s.over(r.state), s.rows(), channels, taps, ldx});
        return r;
      };
      compare<T>(on, 16 * 0x1p-24f, 2 * ulp<T> + 64 * 0x1p-24f);
    }
}

TYPED_TEST(DeltaNet, GatesEqualReference) {
  using T = TypeParam;
  for (const auto& [rows, heads] : {std::pair{0, 4}, {1, 1}, {3, 32}, {70, 6}}) {
    const int ld = 2 * heads + 3;
    const auto ba = noise<T>(product(rows, ld), 1, 4);
    const auto rate = noise<float>(product(1, heads), 2), shift = noise<float>(product(1, heads), 3, 20);
    const auto on = [&, rows = rows, heads = heads](auto backend, auto stream) {
      std::vector<float> decay(product(rows, heads)), beta(decay.size());
      run_on<kernels::delta_gates<T>, decltype(backend)>(
          stream, {ba.data(), rate.data(), shift.data(), decay.data(), beta.data(), rows, heads, ld});
      decay.insert(decay.end(), beta.begin(), beta.end());
      return decay;
    };
    const auto want = on(Ref{}, Ref::stream{});
    for (const float x : want) EXPECT_TRUE(x >= 0 && x <= 1) << x;
    at_every_level([&] {
      for (int threads : {1, 3}) EXPECT_TRUE(close(on(Cpu{}, pool(threads)), want, 0, 16 * 0x1p-24f));
    });
  }
}

struct Heads {
  int key_heads, value_heads, key_dim, value_dim;
};

TYPED_TEST(DeltaNet, RuleEqualsReference) {
  using T = TypeParam;
  for (const auto& parts : batches)
    for (const Heads& h : {Heads{1, 1, 2, 1}, Heads{2, 6, 8, 12}, Heads{1, 2, 33, 40}, Heads{2, 4, 128, 128}}) {
      SCOPED_TRACE(testing::Message() << parts.size() << " sequences, " << h.key_heads << "/" << h.value_heads << " heads of "
                                      << h.key_dim << " x " << h.value_dim);
      const Sequences s(parts, product(h.value_heads * h.key_dim, h.value_dim));
      const int channels = 2 * h.key_heads * h.key_dim + h.value_heads * h.value_dim;
      const auto qkv = noise<T>(product(s.rows(), channels), 1);
      std::vector<float> decay, beta;
      for (const float x : noise<float>(product(s.rows(), h.value_heads), 2)) decay.push_back(1 / (1 + std::exp(-3 * x)));
      for (const float x : noise<float>(product(s.rows(), h.value_heads), 3)) beta.push_back(1 / (1 + std::exp(-x)));
      const auto on = [&](auto backend, auto stream) {
        Result<T> r{std::vector<T>(product(s.rows(), h.value_heads * h.value_dim), T(NAN)), s.state};
        run_on<kernels::gated_delta<T>, decltype(backend)>(
            stream, {qkv.data(), decay.data(), beta.data(), r.y.data(), s.over(r.state), s.rows(), h.key_heads, h.value_heads,
                     h.key_dim, h.value_dim});
        return r;
      };
      compare<T>(on, 64 * 0x1p-24f, 2 * ulp<T> + 64 * 0x1p-24f);
    }
}

// Two steps of one head, unit queries and keys, by hand: S = (0.6, 0.8), o = 0.6 / sqrt 2; then decay, correction, and what is new.
TEST(DeltaRule, ByHand) {
  const std::vector<float> qkv{1, 0, 0.6f, 0.8f, 2, 0.6f, 0.8f, 1, 0, -1};  // q, k, v of each row
  const std::vector<float> decay{std::exp(-0.1f), std::exp(-0.2f)}, beta{0.5f, 0.25f};
  const auto check = [&](auto backend, auto stream, bool one_by_one) {
    std::vector<float> state(2), o(2);
    const int place = 0;
    for (int row = 0; row < 2; row += one_by_one ? 1 : 2) {
      const int n = one_by_one ? 1 : 2, first_row[] = {0, n}, context = row + n;
      run_on<kernels::gated_delta<float>, decltype(backend)>(stream, {qkv.data() + 5 * row,
                                                                      decay.data() + row,
                                                                      beta.data() + row,
                                                                      o.data() + row,
                                                                      {state.data(), &place, first_row, &context, 1, 2},
                                                                      n,
                                                                      1,
                                                                      1,
                                                                      2,
                                                                      1});
    }
    EXPECT_NEAR(o[0], 0.4242641f, 2e-6f);
    EXPECT_NEAR(o[1], 0.4207603f, 2e-6f);
    EXPECT_NEAR(state[0], 0.1184288f, 2e-6f);
    EXPECT_NEAR(state[1], 0.6549846f, 2e-6f);
  };
  for (bool one_by_one : {false, true}) {
    check(Ref{}, Ref::stream{}, one_by_one);
    at_every_level([&] { check(Cpu{}, pool(1), one_by_one); });
  }
}

// softplus(0) = log 2, and for what is far from 0 that or nothing.
TEST(DeltaGates, ByHand) {
  const std::vector<float> ba{0, 40, -40, 0, 1, -60}, rate{0, std::log(2.0f), 0}, shift{0, 39, -10};
  std::vector<float> decay(3), beta(3);
  run_on<kernels::delta_gates<float>, Ref>({}, {ba.data(), rate.data(), shift.data(), decay.data(), beta.data(), 1, 3, 6});
  EXPECT_FLOAT_EQ(decay[0], 0.5f);
  EXPECT_FLOAT_EQ(decay[1], std::exp(-80.0f));
  EXPECT_FLOAT_EQ(decay[2], 1);
  EXPECT_FLOAT_EQ(beta[0], 0.5f);
  EXPECT_FLOAT_EQ(beta[1], 1);
  EXPECT_NEAR(beta[2], 4.2e-18f, 1e-19f);
}

// Weights 1, 10, 100, 1000 on inputs 1, 2, 3 ...: what was before the sequence is 0, also for rows of a later step.
TEST(CausalConv, ByHand) {
  const std::vector<float> w{1, 10, 100, 1000}, x{1, 2, 3, 4, 5};
  const std::vector<float> want{1000, 2100, 3210, 4321, 5432};
  for (int each : {1, 2, 3, 5}) {
    std::vector<float> state(3, NAN), y(5);
    const int place = 0;
    for (int row = 0; row < 5; row += each) {
      const int n = std::min(each, 5 - row), first_row[] = {0, n}, context = row + n;
      run_on<kernels::causal_conv<float>, Ref>(
          {}, {x.data() + row, w.data(), y.data() + row, {state.data(), &place, first_row, &context, 1, 3}, n, 1, 4, 1});
    }
    EXPECT_EQ(y, want) << each;  // silu of what is large is itself
    EXPECT_EQ(state, (std::vector<float>{3, 4, 5}));
  }
}

}  // namespace
}  // namespace atom
