#pragma once
// The keys of a mixture of experts: which experts a row goes to, rows sorted by expert, one product per expert, the weighted sum.
// One idea: between routing and sum, rows lie sorted by expert ("slots"), so every expert's input is one block of rows and a
// backend may multiply block by block or all at once; sizes depend on rows and top_k alone, never on what the router says. To
// extend: a score is an empty type like moe::Sigmoid; a rule that is no moe::TopK is an empty type with a name(), for which you
// specialise atom::impl<kernels::route_topk<YourRule>, Backend>.
#include <cmath>

#include "atom/core/cost.hpp"
#include "atom/core/run.hpp"
#include "atom/ops/linear_op.hpp"

namespace atom::moe {

inline constexpr int most_experts = 1024;

// What a logit says of an expert.
/// Its probability: the experts of a row share out one.   Mixtral, Qwen3-MoE, DeepSeek-V2
struct Softmax {
  static constexpr Name name() { return {"softmax"}; }
};
/// 1 / (1 + exp(-logit)): each expert for itself.   DeepSeek-V3, https://arxiv.org/abs/2412.19437
struct Sigmoid {
  static float of(float logit) { return 1 / (1 + std::exp(-logit)); }
  static constexpr Name name() { return {"sigmoid"}; }
};
/// sqrt(log(1 + exp(logit))): as Sigmoid, and without its upper end.
struct SqrtSoftplus {
  static float of(float logit) { return std::sqrt(std::fmax(logit, 0.0f) + std::log1p(std::exp(-std::fabs(logit)))); }
  static constexpr Name name() { return {"sqrt_softplus"}; }
};

/// The experts of the best scores. Softmax of the chosen logits alone (GPT-OSS) is Softmax, renormalised.
template <class Score> struct TopK {
  using score = Score;
  static constexpr bool biased = false;
  static constexpr Name name() { return Score::name(); }
};
/// The same with a bias for each expert, which balances their load: it counts in the choice and not in the weight.
template <class Score> struct BiasedTopK {
  static_assert(!std::is_same_v<Score, Softmax>,
                "atom: moe::BiasedTopK: a bias is added to a score of each expert for itself: "
                "Sigmoid, SqrtSoftplus or a score of yours");
  using score = Score;
  static constexpr bool biased = true;
  static constexpr Name name() { return {"biased_", Score::name()}; }
};
using SoftmaxTopK = TopK<Softmax>;

template <class R> inline constexpr bool is_topk = false;
template <class S> inline constexpr bool is_topk<TopK<S>> = true;
template <class S> inline constexpr bool is_topk<BiasedTopK<S>> = true;
template <class R>
concept TopKRule = is_topk<R>;

}  // namespace atom::moe

namespace atom::kernels {

/// For each row the top_k experts of the largest logits (biased: of the largest score + bias), largest first, of equals the first;
/// a NaN counts as the smallest. The weight of each is its score, divided by the sum of the chosen ones if `renormalise`, times
/// `scale`.
/// With several groups of neighbouring experts only the top_groups best take part, of equals the first. A group is as good as its
/// best expert; biased, as the sum of its best two.
template <class Rule> struct route_topk {
  struct args {
    const float* logits;  // (rows, experts), experts <= moe::most_experts
    const float* bias;    // (experts), or null without Rule::biased
    int* expert;          // (rows, top_k)
    float* weight;        // (rows, top_k)
    int rows, experts, top_k;
    int groups, top_groups;  // groups divides experts; top_k <= top_groups * experts / groups
    bool renormalise;
    float scale;
  };
  static constexpr Name name() { return {"route_topk<", Rule::name(), ">"}; }
  static constexpr Cost cost(const args& a) {
    const double logits = double(a.rows) * a.experts;
    return {4 * logits + 8.0 * a.rows * a.top_k, 4 * logits};
  }
};

/// y[r] = T(weight[r] * x[r]), and weight[r] = 1: of rows with one expert each, what the expert counts goes into it, not out of it.
template <class T> struct weigh_inputs {
  struct args {
    const T* x;     // (rows, cols), row stride ldx
    float* weight;  // (rows)
    T* y;           // (rows, cols)
    int rows, cols, ldx;
  };
  static constexpr Name name() { return {"weigh_inputs<", type_name<T>, ">"}; }
  static constexpr Cost cost(const args& a) {
    const double n = double(a.rows) * a.cols;
    return {2 * n * sizeof(T) + 8.0 * a.rows, n};
  }
};

/// Sorts the choices by expert, those of one expert by row: slot s belongs to the expert e with first[e] <= s < first[e + 1].
struct sort_by_expert {
  struct args {
    const int* expert;  // (rows, top_k)
    int* first;         // (experts + 1)
    int* row;           // (rows * top_k): the row that a slot comes from
    int* slot;          // (rows, top_k): where a choice went
    int rows, top_k, experts;
  };
  static constexpr Name name() { return {"sort_by_expert"}; }
  static constexpr Cost cost(const args& a) { return {12.0 * a.rows * a.top_k + 4.0 * (a.experts + 1), 0}; }
};

/// Where one expert's matrix lies.
template <class W> struct ExpertWeight {
  const W* w;          // (out, in), in the layout of linear<Q, T>
  const float* scale;  // (out), or null when the scheme has no scales
  const float* bias;   // (out), or null
};

/// y[s] = x[s] · W_eᵀ (+ bias_e) for every slot s of expert e: linear<Q, T>, with a weight for each block of rows.
template <quant::Scheme Q, class T> struct expert_linear {
  using input = quant::input_t<Q, T>;
  struct args {
    const input* x;                                  // (rows, in)
    const float* x_scale;                            // (rows), or null when the scheme leaves activations alone
    const ExpertWeight<typename Q::weight>* weight;  // (experts)
    const int* first;                                // (experts + 1): expert e's rows are [first[e], first[e + 1])
    T* y;                                            // (rows, out)
    int rows, out, in, experts;
  };
  /// Expert e's block, as a product of its own.
  static constexpr typename linear<Q, T>::args block(const args& a, int e) {
    const auto at = static_cast<std::ptrdiff_t>(a.first[e]);
    const auto& w = a.weight[e];
    return {a.x + at * a.in,
            a.x_scale ? a.x_scale + at : nullptr,
            w.w,
            w.scale,
            w.bias,
            a.y + at * a.out,
            a.first[e + 1] - a.first[e],
            a.out,
            a.in,
            a.in,
            a.out};
  }
  static constexpr Name name() { return {"expert_linear<", Q::name(), ",", type_name<T>, ">"}; }
  /// As if rows met as many different experts as they can.
  static constexpr Cost cost(const args& a) {
    const double m = a.rows, n = a.out, k = a.in, met = a.rows < a.experts ? a.rows : a.experts;
    return {met * n * k * sizeof(typename Q::weight) + m * k * sizeof(input) + m * n * sizeof(T) +
                (quant::Scaled<Q> ? 4 * (met * n + m) : 0),
            2 * m * n * k};
  }
};

/// y[r] = sum over k of weight[r][k] * x[slot[r][k]], plus what every row gets, in float, in this order, rounded once.
template <class T> struct combine_experts {
  struct args {
    const T* x;           // (rows * top_k, cols)
    const int* slot;      // (rows, top_k)
    const float* weight;  // (rows, top_k)
    const T* plus;        // (rows, cols), or null
    T* y;                 // (rows, cols), row stride ldy
    int rows, cols, top_k, ldy;
  };
  static constexpr Name name() { return {"combine_experts<", type_name<T>, ">"}; }
  static constexpr Cost cost(const args& a) {
    const double n = double(a.rows) * a.cols;
    return {n * (a.top_k + 1) * sizeof(T) + 8.0 * a.rows * a.top_k, 2 * n * a.top_k};
  }
};

}  // namespace atom::kernels
