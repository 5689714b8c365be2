// Routing, sorting, experts' products and their sum: Cpu against Ref, and Ref against facts.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <numeric>

#include "atom/ops/moe_cpu.hpp"
#include "atom/ops/moe_ref.hpp"

#include "conformance.hpp"
#include "cpu_setting.hpp"

namespace atom {
namespace {

using namespace test;
using Route = kernels::route_topk<moe::SoftmaxTopK>;

std::size_t size(int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }

struct Routed {
  std::vector<int> expert;
  std::vector<float> weight;
};
template <class B>
Routed route(typename B::stream s, const std::vector<float>& logits, int rows, int experts, int top_k, bool renormalise,
             float scale = 1) {
  Routed r{std::vector<int>(size(rows, top_k), -1), std::vector<float>(size(rows, top_k), -1)};
  run_on<Route, B>(s, {logits.data(), r.expert.data(), r.weight.data(), rows, experts, top_k, renormalise, scale});
  return r;
}

TEST(RouteTopk, EqualsReference) {
  for (const auto& [experts, top_k] : {std::pair{1, 1}, {2, 1}, {5, 2}, {7, 3}, {8, 8}, {128, 8}, {300, 10}})
    for (int rows : {0, 1, 3, 70})
      for (bool renormalise : {false, true})
        for (float spread : {0.01f, 1.0f, 30.0f}) {
          SCOPED_TRACE(testing::Message() << rows << " rows, " << top_k << " of " << experts << ", spread " << spread);
          const auto logits = noise<float>(size(rows, experts), 3, spread);
          const auto want = route<Ref>({}, logits, rows, experts, top_k, renormalise, 2.5f);
          for (int threads : {1, 3}) {
            const auto got = route<Cpu>(pool(threads), logits, rows, experts, top_k, renormalise, 2.5f);
            EXPECT_EQ(got.expert, want.expert);
            EXPECT_TRUE(close(got.weight, want.weight, 1e-30f, 400 * ulp<float>));  // a sum of up to 300, one by one
          }
        }
}

// Softmax of log(1..4) is 1/10, 2/10, 3/10, 4/10.
template <class B> void expect_shares(typename B::stream s) {
  const std::vector<float> logits{std::log(3.0f), std::log(1.0f), std::log(4.0f), std::log(2.0f)};
  const auto all = route<B>(s, logits, 1, 4, 2, false), chosen = route<B>(s, logits, 1, 4, 2, true);
  EXPECT_EQ(all.expert, (std::vector{2, 0}));
  EXPECT_EQ(chosen.expert, (std::vector{2, 0}));
  EXPECT_NEAR(all.weight[0], 0.4f, 1e-6f);
  EXPECT_NEAR(all.weight[1], 0.3f, 1e-6f);
  EXPECT_NEAR(chosen.weight[0], 4.0f / 7, 1e-6f);
  EXPECT_NEAR(chosen.weight[1], 3.0f / 7, 1e-6f);
}
TEST(RouteTopk, WeightsAreProbabilities) {
  expect_shares<Ref>({});
  expect_shares<Cpu>(pool(1));
}

template <class B> void expect_first_of_equals(typename B::stream s) {
  EXPECT_EQ(route<B>(s, {1, 2, 2, 1, 2, 2}, 1, 6, 3, true).expert, (std::vector{1, 2, 4}));
  EXPECT_EQ(route<B>(s, {0, 0, 0, 0}, 1, 4, 4, true).expert, (std::vector{0, 1, 2, 3}));
  EXPECT_EQ(route<B>(s, {0.0f, -0.0f}, 1, 2, 1, true).expert, (std::vector{0}));
}
TEST(RouteTopk, OfEqualLogitsTheFirstIsChosen) {
  expect_first_of_equals<Ref>({});
  expect_first_of_equals<Cpu>(pool(1));
}

// Whatever the router says, the experts chosen exist and differ.
template <class B> void expect_valid_choice(typename B::stream s) {
  const float inf = INFINITY;
  EXPECT_EQ(route<B>(s, {NAN, 1, NAN, 2}, 1, 4, 3, true).expert, (std::vector{3, 1, 0}));
  EXPECT_EQ(route<B>(s, {NAN, NAN, NAN}, 1, 3, 2, true).expert, (std::vector{0, 1}));
  EXPECT_EQ(route<B>(s, {-inf, inf, -inf}, 1, 3, 3, false).expert, (std::vector{1, 0, 2}));
}
TEST(RouteTopk, BrokenLogitsChooseRealExperts) {
  expect_valid_choice<Ref>({});
  expect_valid_choice<Cpu>(pool(1));
}

TEST(RouteTopk, LargeLogitsDoNotOverflow) {
  for (const auto& r :
       {route<Ref>({}, {3e38f, 3e38f, -3e38f}, 1, 3, 2, false), route<Cpu>(pool(1), {3e38f, 3e38f, -3e38f}, 1, 3, 2, false)})
    EXPECT_EQ(r.weight, (std::vector{0.5f, 0.5f}));
}

struct Sorted {
  std::vector<int> first, row, slot;
  bool operator==(const Sorted&) const = default;
};
template <class B> Sorted sort(typename B::stream s, const std::vector<int>& expert, int rows, int top_k, int experts) {
  Sorted r{std::vector<int>(static_cast<std::size_t>(experts) + 1, -1), std::vector<int>(expert.size(), -1),
           std::vector<int>(expert.size(), -1)};
  run_on<kernels::sort_by_expert, B>(s, {expert.data(), r.first.data(), r.row.data(), r.slot.data(), rows, top_k, experts});
  return r;
}

TEST(SortByExpert, EqualsReference) {
  for (const auto& [experts, top_k] : {std::pair{1, 1}, {5, 2}, {128, 8}})
    for (int rows : {0, 1, 50}) {
      const auto r = route<Ref>({}, noise<float>(size(rows, experts), 5), rows, experts, top_k, true);
      EXPECT_EQ(sort<Cpu>(pool(2), r.expert, rows, top_k, experts), sort<Ref>({}, r.expert, rows, top_k, experts));
    }
}

TEST(SortByExpert, KeepsRowsOfOneExpertInOrder) {
  const Sorted s = sort<Ref>({}, {2, 0, 0, 2, 3, 0}, 3, 2, 4);
  EXPECT_EQ(s.first, (std::vector{0, 3, 3, 5, 6}));
  EXPECT_EQ(s.row, (std::vector{0, 1, 2, 0, 1, 2}));
  EXPECT_EQ(s.slot, (std::vector{3, 0, 1, 4, 5, 2}));
}

template <class T> struct Experts : testing::Test {};
using Types = testing::Types<float, bf16>;
TYPED_TEST_SUITE(Experts, Types);

TYPED_TEST(Experts, CombineEqualsReference) {
  using T = TypeParam;
  for (const auto& [rows, top_k, cols] : {std::tuple{0, 2, 8}, {1, 1, 1}, {1, 8, 2048}, {3, 2, 255}, {40, 4, 513}}) {
    SCOPED_TRACE(testing::Message() << rows << " rows, " << top_k << " of " << cols);
    const int ldy = cols + 3;
    const auto x = noise<T>(size(rows * top_k, cols), 1);
    const auto weight = noise<float>(size(rows, top_k), 2);
    std::vector<int> slot(size(rows, top_k));
    std::iota(slot.rbegin(), slot.rend(), 0);
    const auto combine = [&]<class B>(B, typename B::stream s) {
      std::vector<T> y(size(rows, ldy), T(7.0f));
      run_on<kernels::combine_experts<T>, B>(s, {x.data(), slot.data(), weight.data(), y.data(), rows, cols, top_k, ldy});
      return y;
    };
    const auto want = combine(Ref{}, {});
    const auto got = combine(Cpu{}, pool(1));
    EXPECT_TRUE(close(got, want, static_cast<float>(top_k) * 8 * 0x1p-24f, std::same_as<T, float> ? 8 * ulp<T> : ulp<T>));
    EXPECT_TRUE(identical(combine(Cpu{}, pool(3)), got)) << "the number of threads shows";
  }
}

// Each block of rows meets its own expert, as if linear had been called on that block alone; some experts get nothing.
template <class Q, class T> void expect_expert_linear(T) {
  const int in = 96, out = 40, experts = 5, rows = 11;
  const std::vector<int> first{0, 0, 1, 7, 7, 11};
  const auto floats = noise<float>(size(experts * out, in), 4, 0.1f);
  using W = typename Q::weight;
  std::vector<W> w(floats.size());
  std::vector<float> w_scale(size(experts, out), 0.01f);
  for (std::size_t i = 0; i < w.size(); ++i) {
    if constexpr (quant::Scaled<Q>)
      w[i] = quant::codec<Q>::encode(floats[i], 0.01f);
    else
      w[i] = W(floats[i]);
  }
  const auto x = noise<T>(size(rows, in), 5);
  std::vector<quant::input_t<Q, T>> q(x.size());
  std::vector<float> x_scale(static_cast<std::size_t>(rows));
  if constexpr (quant::QuantizesActivations<Q>)
    run_on<kernels::quantize<Q, T>, Ref>({}, {x.data(), q.data(), x_scale.data(), rows, in, in});
  else
    q = x;
  const auto weights = [&](const W* base, std::size_t each) {
    std::vector<kernels::ExpertWeight<W>> table;
    for (std::size_t e = 0; e < static_cast<std::size_t>(experts); ++e)
      table.push_back({base + e * each, quant::Scaled<Q> ? w_scale.data() + e * static_cast<std::size_t>(out) : nullptr});
    return table;
  };
  const auto product = [&]<class B>(B, typename B::stream s, const std::vector<kernels::ExpertWeight<W>>& table) {
    std::vector<T> y(size(rows, out));
    const float* scale = quant::QuantizesActivations<Q> ? x_scale.data() : nullptr;
    run_on<kernels::expert_linear<Q, T>, B>(s, {q.data(), scale, table.data(), first.data(), y.data(), rows, out, in, experts});
    return y;
  };
  const auto want = product(Ref{}, {}, weights(w.data(), size(out, in)));
  for (int r = 0; r < rows; ++r) {  // the reference itself: row by row, with the expert that the row lies in
    const auto e = std::upper_bound(first.begin(), first.end(), r) - first.begin() - 1;
    for (int o = 0; o < out; ++o) {
      double sum = 0;
      for (int k = 0; k < in; ++k)
        sum += double{static_cast<float>(q[size(r, in) + static_cast<std::size_t>(k)])} *
               double{static_cast<float>(
                   w[(static_cast<std::size_t>(e) * static_cast<std::size_t>(out) + static_cast<std::size_t>(o)) *
                         static_cast<std::size_t>(in) +
                     static_cast<std::size_t>(k)])};
      if constexpr (quant::Scaled<Q>) sum *= double{x_scale[static_cast<std::size_t>(r)]} * 0.01;
      ASSERT_NEAR(static_cast<float>(want[size(r, out) + static_cast<std::size_t>(o)]), sum, 0.02) << r << " " << o;
    }
  }
  const quant::WeightLayout& layout = impl<kernels::linear<Q, T>, Cpu>::layout();
  const std::size_t bytes = (layout.bytes(out, in) + 63) / 64 * 64;
  struct alignas(64) Line {
    std::byte b[64];
  };
  std::vector<Line> packed(bytes / 64 * static_cast<std::size_t>(experts));
  for (std::size_t e = 0; e < static_cast<std::size_t>(experts); ++e)
    layout.put(packed[e * bytes / 64].b, out, in, {w.data() + e * size(out, in), in, 0, out});
  const auto scratch = kernels::linear_scratch(in);
  for (int threads : {1, 3}) {
    ThreadPool* p = pool(threads, scratch.thread);
    p->reserve_shared(scratch.shared);
    at_every_level([&] {
      const auto got = product(Cpu{}, p, weights(reinterpret_cast<const W*>(packed.data()), bytes / sizeof(W)));
      EXPECT_TRUE(close(got, want, 1e-4f, std::same_as<T, float> ? 1e-5f : 2 * ulp<T>));
    });
  }
}
TYPED_TEST(Experts, LinearEqualsReference) {
  expect_expert_linear<quant::No>(TypeParam{});
  expect_expert_linear<quant::NoAs<float>>(TypeParam{});
  expect_expert_linear<quant::PerToken<int8>>(TypeParam{});
}

}  // namespace
}  // namespace atom
