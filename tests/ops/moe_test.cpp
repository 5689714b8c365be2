// Routing, sorting, experts' products and their sum: Cpu and Emu against Ref, and all of them against facts.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <numeric>

#include "atom/ops/moe_cpu.hpp"
#include "atom/ops/moe_gpu.hpp"
#include "atom/ops/moe_ref.hpp"

#include "conformance.hpp"
#include "cpu_setting.hpp"
#include "emu_setting.hpp"

namespace atom {
namespace {

using namespace test;

std::size_t size(int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }

struct Routed {
  std::vector<int> expert;
  std::vector<float> weight;
};
struct Shape {
  int rows, experts, top_k, groups = 1, top_groups = 1;
};
template <class Rule, class B>
Routed route_by(typename B::stream s, const std::vector<float>& logits, const std::vector<float>& bias, Shape n, bool renormalise,
                float scale = 1) {
  Routed r{std::vector<int>(size(n.rows, n.top_k), -1), std::vector<float>(size(n.rows, n.top_k), -1)};
  run_on<kernels::route_topk<Rule>, B>(s, {logits.data(), bias.data(), r.expert.data(), r.weight.data(), n.rows, n.experts, n.top_k,
                                           n.groups, n.top_groups, renormalise, scale});
  return r;
}
template <class B>
Routed route(typename B::stream s, const std::vector<float>& logits, int rows, int experts, int top_k, bool renormalise) {
  return route_by<moe::SoftmaxTopK, B>(s, logits, {}, {rows, experts, top_k}, renormalise);
}

template <class Rule> struct Rules : testing::Test {};
using AllRules = testing::Types<moe::TopK<moe::Softmax>, moe::TopK<moe::Sigmoid>, moe::TopK<moe::SqrtSoftplus>,
                                moe::BiasedTopK<moe::Sigmoid>, moe::BiasedTopK<moe::SqrtSoftplus>>;
TYPED_TEST_SUITE(Rules, AllRules);

TYPED_TEST(Rules, EqualReference) {
  for (const Shape shape : {Shape{0, 1, 1},
                            {0, 2, 1},
                            {0, 5, 2},
                            {0, 7, 3},
                            {0, 8, 8},
                            {0, 128, 8},
                            {0, 300, 10},
                            {0, 8, 3, 4, 2},
                            {0, 12, 5, 4, 2},
                            {0, 6, 2, 6, 3},
                            {0, 160, 6, 8, 3},
                            {0, 256, 8, 8, 8},
                            {0, 1024, 8, 8, 4}})
    for (int rows : {0, 1, 3, 70})
      for (bool renormalise : {false, true})
        for (float spread : {0.01f, 1.0f, 30.0f}) {
          Shape n = shape;
          n.rows = rows;
          SCOPED_TRACE(testing::Message() << rows << " rows, " << n.top_k << " of " << n.experts << ", groups " << n.top_groups
                                          << " of " << n.groups << ", spread " << spread);
          const auto logits = noise<float>(size(rows, n.experts), 3, spread);
          const auto bias = noise<float>(size(1, n.experts), 4);
          const auto want = route_by<TypeParam, Ref>({}, logits, bias, n, renormalise, 2.5f);
          for (int threads : {1, 3}) {
            const auto got = route_by<TypeParam, Cpu>(pool(threads), logits, bias, n, renormalise, 2.5f);
            EXPECT_EQ(got.expert, want.expert);
            EXPECT_TRUE(close(got.weight, want.weight, 1e-30f, 1200 * ulp<float>));  // a sum of up to 1024, one by one
          }
        }
}

// DeepSeek-V3's routing of one row, computed by hand in double precision; the excluded groups hold the largest scores.
template <class B> void expect_deepseek_v3(typename B::stream s) {
  const std::vector<float> logits{0.2f, -1, 1.5f, 0.3f, -0.4f, 2, 0, -2}, bias{-1.2f, -1, -1.5f, -0.9f, 0.1f, -1.4f, -0.8f, 0.2f};
  const auto r = route_by<moe::BiasedTopK<moe::Sigmoid>, B>(s, logits, bias, {1, 8, 3, 4, 2}, true, 2.5f);
  EXPECT_EQ(r.expert, (std::vector{4, 7, 6}));
  EXPECT_TRUE(close(r.weight, {0.983112f, 0.292017f, 1.224871f}, 1e-6f, 0));
}
TEST(RouteTopk, DeepSeekV3Vector) {
  expect_deepseek_v3<Ref>({});
  expect_deepseek_v3<Cpu>(pool(1));
}

// Groups (0, 1), (2, 3), (4, 5): the best experts are 0, 2 and 4, the best pairs those of the second and third group.
template <class B> void expect_groups(typename B::stream s) {
  const std::vector<float> logits{3, -9, 2.5f, 2, 1, 0.9f}, none(6);
  const Shape n{1, 6, 3, 3, 2};
  EXPECT_EQ((route_by<moe::TopK<moe::Softmax>, B>(s, logits, none, n, false).expert), (std::vector{0, 2, 3})) << "by the best";
  EXPECT_EQ((route_by<moe::BiasedTopK<moe::Sigmoid>, B>(s, logits, none, n, false).expert), (std::vector{2, 3, 4})) << "by two";
  const std::vector<float> ties(6);
  EXPECT_EQ((route_by<moe::TopK<moe::Softmax>, B>(s, ties, none, n, false).expert), (std::vector{0, 1, 2}));
  const auto all = route_by<moe::TopK<moe::Softmax>, B>(s, ties, none, n, false);
  EXPECT_NEAR(all.weight[0], 1.0f / 6, 1e-6f) << "experts of other groups keep their share";
  const std::vector<float> broken{NAN, NAN, NAN, NAN, 0, NAN};
  EXPECT_EQ((route_by<moe::BiasedTopK<moe::Sigmoid>, B>(s, broken, none, n, false).expert), (std::vector{0, 1, 2}));
  EXPECT_EQ((route_by<moe::TopK<moe::Softmax>, B>(s, broken, none, n, false).expert), (std::vector{4, 0, 1}));
}
TEST(RouteTopk, OnlyTheBestGroupsTakePart) {
  expect_groups<Ref>({});
  expect_groups<Cpu>(pool(1));
}

// log(1 + exp(x)) is 1 for x = log(e - 1), 4 for log(e^4 - 1), x itself for large x.
template <class B> void expect_scores(typename B::stream s) {
  const std::vector<float> logits{std::log(std::exp(1.0f) - 1), std::log(std::exp(4.0f) - 1), 100, -200}, none(4);
  const auto softplus = route_by<moe::BiasedTopK<moe::SqrtSoftplus>, B>(s, logits, none, {1, 4, 4}, false, 3);
  EXPECT_EQ(softplus.expert, (std::vector{2, 1, 0, 3}));
  EXPECT_TRUE(close(softplus.weight, {30, 6, 3, 0}, 1e-6f, 1e-6f));
  const auto sigmoid = route_by<moe::TopK<moe::Sigmoid>, B>(s, {0, std::log(3.0f), -200, 200}, none, {1, 4, 4}, false);
  EXPECT_EQ(sigmoid.expert, (std::vector{3, 1, 0, 2}));
  EXPECT_TRUE(close(sigmoid.weight, {1, 0.75f, 0.5f, 0}, 1e-6f, 0));
  const auto nothing = route_by<moe::TopK<moe::Sigmoid>, B>(s, {-200, -200}, none, {1, 2, 2}, true);
  EXPECT_EQ(nothing.weight, (std::vector{0.0f, 0.0f})) << "a sum of nothing divides nothing";
}
TEST(RouteTopk, Scores) {
  expect_scores<Ref>({});
  expect_scores<Cpu>(pool(1));
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

TYPED_TEST(Rules, EqualReferenceOnEveryWave) {
  for (const Shape n : {Shape{0, 8, 2}, {1, 1, 1}, {9, 70, 5}, {6, 8, 8}, {5, 12, 5, 4, 2}, {5, 256, 8, 8, 4}, {2, 1024, 40}})
    for (bool renormalise : {false, true}) {
      const auto logits = noise<float>(size(n.rows, n.experts), 3), bias = noise<float>(size(1, n.experts), 4);
      const auto want = route_by<TypeParam, Ref>({}, logits, bias, n, renormalise, 2.5f);
      on_every_wave([&]<class B>(B, typename B::stream machine) {
        const auto got = route_by<TypeParam, B>(machine, logits, bias, n, renormalise, 2.5f);
        EXPECT_EQ(got.expert, want.expert);
        EXPECT_TRUE(close(got.weight, want.weight, 1e-30f, 1200 * ulp<float>));
        return got.weight;
      });
    }
}

TEST(RouteTopk, FactsHoldOnEveryWave) {
  on_every_wave([&]<class B>(B, typename B::stream machine) {
    expect_deepseek_v3<B>(machine);
    expect_groups<B>(machine);
    expect_scores<B>(machine);
    expect_shares<B>(machine);
    expect_first_of_equals<B>(machine);
    expect_valid_choice<B>(machine);
    return 0;
  });
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
      const Sorted want = sort<Ref>({}, r.expert, rows, top_k, experts);
      EXPECT_EQ(sort<Cpu>(pool(2), r.expert, rows, top_k, experts), want);
      on_every_wave([&]<class B>(B, typename B::stream machine) {
        const Sorted got = sort<B>(machine, r.expert, rows, top_k, experts);
        EXPECT_EQ(got, want);
        return got;
      });
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
    const auto shared = noise<T>(size(rows, cols), 6, 3.0f);
    for (const T* plus : {static_cast<const T*>(nullptr), shared.data()}) {
      const auto combine = [&]<class B>(B, typename B::stream s) {
        std::vector<T> y(size(rows, ldy), T(7.0f));
        run_on<kernels::combine_experts<T>, B>(s, {x.data(), slot.data(), weight.data(), plus, y.data(), rows, cols, top_k, ldy});
        return y;
      };
      const auto want = combine(Ref{}, {});
      const auto got = combine(Cpu{}, pool(1));
      EXPECT_TRUE(close(got, want, static_cast<float>(top_k) * 8 * 0x1p-23f, (std::same_as<T, float> ? 8 : 2) * ulp<T>));
      EXPECT_TRUE(identical(combine(Cpu{}, pool(3)), got)) << "the number of threads shows";
      on_every_wave([&](auto backend, auto machine) {
        const auto on_gpu = combine(backend, machine);
        EXPECT_TRUE(close(on_gpu, want, static_cast<float>(top_k) * 8 * 0x1p-23f, (std::same_as<T, float> ? 8 : 2) * ulp<T>));
        return on_gpu;
      });
    }
  }
}

TYPED_TEST(Experts, WeighedInputsEqualReference) {
  using T = TypeParam;
  for (const auto& [rows, cols] : {std::pair{0, 8}, {1, 1}, {3, 255}, {40, 513}}) {
    SCOPED_TRACE(testing::Message() << rows << " rows of " << cols);
    const int ldx = cols + 3;
    const auto x = noise<T>(size(rows, ldx), 1);
    const auto weight = noise<float>(size(rows, 1), 2);
    const auto weigh = [&]<class B>(B, typename B::stream s) {
      std::vector<T> y(size(rows, cols), T(7.0f));
      std::vector<float> left = weight;
      run_on<kernels::weigh_inputs<T>, B>(s, {x.data(), left.data(), y.data(), rows, cols, ldx});
      EXPECT_EQ(left, std::vector<float>(left.size(), 1.0f));
      return y;
    };
    const auto want = weigh(Ref{}, {});
    for (int r = 0; r < rows; ++r)
      EXPECT_EQ(static_cast<float>(want[size(r, cols)]),
                static_cast<float>(T(weight[static_cast<std::size_t>(r)] * static_cast<float>(x[size(r, ldx)]))));
    for (int threads : {1, 3}) EXPECT_TRUE(identical(weigh(Cpu{}, pool(threads)), want));
    on_every_wave([&](auto backend, auto machine) {
      const auto on_gpu = weigh(backend, machine);
      EXPECT_TRUE(identical(on_gpu, want));
      return on_gpu;
    });
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
  const auto bias = noise<float>(size(experts, out), 6);  // of every other expert
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
      table.push_back({base + e * each, quant::Scaled<Q> ? w_scale.data() + e * static_cast<std::size_t>(out) : nullptr,
                       e % 2 ? bias.data() + e * static_cast<std::size_t>(out) : nullptr});
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
      if (e % 2) sum += double{bias[static_cast<std::size_t>(e) * static_cast<std::size_t>(out) + static_cast<std::size_t>(o)]};
      ASSERT_NEAR(static_cast<float>(want[size(r, out) + static_cast<std::size_t>(o)]), sum, 0.02) << r << " " << o;
    }
  }
  if constexpr (std::same_as<Q, quant::No> && std::same_as<T, bf16>)
    on_every_wave([&](auto backend, auto machine) {
      const auto got = product(backend, machine, weights(w.data(), size(out, in)));
      EXPECT_TRUE(close(got, want, 1e-4f, 2 * ulp<T>));
      return got;
    });
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
