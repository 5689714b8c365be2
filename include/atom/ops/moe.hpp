#pragma once
// FusedMoE<Router, Method, Rule>: y = sum over the chosen experts of weight · expert(x).   Shazeer et al. 2017, arXiv:1701.06538
// SharedMoE adds an MLP for every row.
// One idea: three policies. The router gives logits, Rule turns them into choices and weights, Method owns the experts' weights and
// computes. Each is a type, so what a backend cannot do is a sentence at compile time.
//   moe::Grouped      the products of all experts in one launch
//   moe::PerExpert    expert by expert, with linear: for backends that have no more
//   moe::MethodFor    of these two, the one a backend serves best: what the families take
// To extend: a Method has `shape(experts)`, parameters (ATOM_MODULE or describe()), and an operator() as moe::Blocks'; a Rule
// is a key (atom/ops/moe_op.hpp).
#include <vector>

#include "atom/core/backend.hpp"
#include "atom/ops/activation.hpp"
#include "atom/ops/embedding_op.hpp"
#include "atom/ops/linear.hpp"
#include "atom/ops/moe_op.hpp"

namespace atom::moe {

/// Which experts each row goes to, and how much each counts.
struct Routing {
  const int* expert;    // (rows, top_k)
  const float* weight;  // (rows, top_k)
  int top_k;
};

// In a checkpoint that holds all experts in one tensor, the rows of a packed weight, gate and up, are
struct Halves {  // all of one, then all of the other
  static constexpr bool alternate = false;
};
struct Alternating {  // one of each
  static constexpr bool alternate = true;
};

/// What the methods share: rows are sorted by expert, so that each expert's are one block, go through their experts, each a gated
/// MLP, and are summed. `Expert` is a module of two Linears, up() and down(), that names its members as the checkpoint does, and
/// says by a type which `activation` is between them. `Product` multiplies all blocks by one matrix of each expert.
template <class Expert, class Order, class Product> struct Blocks {
  using scheme = typename Expert::scheme;
  std::vector<Expert> experts;

  /// The one allocation, made when a model is built.
  void shape(int count) { experts.resize(static_cast<std::size_t>(count)); }

  /// x: (rows, d_model) -> y of the same shape, `plus` (rows, d_model), where not null, added. With several ranks each holds a part
  /// of every expert, and y is this rank's term.
  template <StepContext Ctx>
  void operator()(Ctx& ctx, Tensor<typename Ctx::act> x, const Routing& r, const typename Ctx::act* plus,
                  Tensor<typename Ctx::act> y) const {
    using T = typename Ctx::act;
    const int n = static_cast<int>(experts.size()), slots = x.rows * r.top_k;
    auto f = ctx.frame();
    const auto first = temp<int>(ctx, n + 1, 1), row = temp<int>(ctx, slots, 1), slot = temp<int>(ctx, slots, 1);
    run<kernels::sort_by_expert>(ctx, {r.expert, first.data, row.data, slot.data, x.rows, r.top_k, n});
    const auto out = temp<T>(ctx, slots, x.cols);
    multiply(ctx, &Expert::down, ops::gate_mul<typename Expert::activation, Expert>(ctx, up(ctx, x, row.data, first.data, slots)),
             first.data, out);
    run<kernels::combine_experts<T>>(ctx, {out.data, slot.data, r.weight, plus, y.data, x.rows, y.cols, r.top_k, y.stride});
  }

  /// Parameters under "<path>.<expert>.".
  template <class Ctx> void describe(model::ParamTable& out, const model::ParamPath& path) {
    for (std::size_t e = 0; e < experts.size(); ++e) {
      const std::string key = std::to_string(e);
      const model::ParamPath here{&path, key};
      const std::size_t begin = out.size();
      model::collect<Ctx>(experts[e], out, &here);
      for (std::size_t i = begin; i < out.size(); ++i) {
        out[i].expert = static_cast<int>(e);
        out[i].alternate = Order::alternate;
      }
    }
  }

 private:
  /// The rows of x, sorted by expert, through each expert's first matrix.
  template <class Ctx, class T> auto up(Ctx& ctx, Tensor<T> x, const int* row, const int* first, int slots) const {
    const auto y = temp<T>(ctx, slots, experts[0].up().weight.rows);
    auto f = ctx.frame();
    const auto sorted = temp<T>(ctx, slots, x.cols);
    run<kernels::gather_rows<T>>(ctx, {x.data, row, sorted.data, slots, x.cols, x.stride});
    if constexpr (quant::QuantizesActivations<scheme>) {
      const auto q = quant::qtemp<scheme>(ctx, slots, x.cols);
      run<kernels::quantize<scheme, T>>(ctx, {sorted.data, q.data, q.scales, slots, x.cols, sorted.stride});
      multiply(ctx, &Expert::up, q, first, y);
    } else {
      multiply(ctx, &Expert::up, sorted, first, y);
    }
    return y;
  }

  template <class Ctx, class Part, class X, class T>
  void multiply(Ctx& ctx, Part part, const X& x, const int* first, Tensor<T> y) const {
    using Weight = kernels::ExpertWeight<typename scheme::weight>;
    const int n = static_cast<int>(experts.size());
    auto f = ctx.frame();
    const auto table = temp<Weight>(ctx, n, 1);
    for (int e = 0; table.data && e < n; ++e) {  // a dry run has no memory to write to
      const auto& linear = (experts[static_cast<std::size_t>(e)].*part)();
      table.data[e] = {linear.weight.data, nullptr, linear.added_bias(ctx)};
      if constexpr (quant::Scaled<scheme>) table.data[e].scale = linear.weight_scale.data;
    }
    const float* scale = nullptr;
    if constexpr (quant::QuantizesActivations<scheme>) scale = x.scales;
    Product::template run<scheme, T>(ctx, {x.data, scale, table.data, first, y.data, x.rows, y.cols, x.cols, n});
  }
};

/// All blocks in one launch.
struct OneLaunch {
  template <class Q, class T> static void run(auto& ctx, const typename kernels::expert_linear<Q, T>::args& a) {
    using op = kernels::expert_linear<Q, T>;
    static_assert(HasKernel<op, typename std::remove_reference_t<decltype(ctx)>::target>,
                  "atom: moe::Grouped: this backend has no expert_linear for this scheme; take moe::PerExpert, or specialise "
                  "atom::impl<kernels::expert_linear<Q, T>, Backend> (docs/adding_a_kernel.md)");
    atom::run<op>(ctx, a);
  }
};
/// A launch for each expert that has rows.
struct LaunchEach {
  template <class Q, class T> static void run(auto& ctx, const typename kernels::expert_linear<Q, T>::args& a) {
    static_assert(HostMemory<typename std::remove_reference_t<decltype(ctx)>::target>,
                  "atom: moe::PerExpert: the host cannot see which experts of this backend have rows; for moe::Grouped specialise "
                  "atom::impl<kernels::expert_linear<Q, T>, Backend> (docs/adding_a_kernel.md)");
    if (!a.first) return plan<Q, T>(ctx, a);
    for (int e = 0; e < a.experts; ++e)
      if (a.first[e] < a.first[e + 1]) atom::run<kernels::linear<Q, T>>(ctx, kernels::expert_linear<Q, T>::block(a, e));
  }

 private:
  /// A dry run, as if rows met as many different experts as they can.
  template <class Q, class T> static void plan(auto& ctx, const typename kernels::expert_linear<Q, T>::args& a) {
    for (int e = 0, met = a.rows < a.experts ? a.rows : a.experts; e < met; ++e)
      atom::run<kernels::linear<Q, T>>(
          ctx, {nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, a.rows / met + (e < a.rows % met), a.out, a.in, a.in, a.out});
  }
};

template <class Expert, class Order = Halves> using Grouped = Blocks<Expert, Order, OneLaunch>;
template <class Expert, class Order = Halves> using PerExpert = Blocks<Expert, Order, LaunchEach>;

/// Grouped where backend B has a kernel for it; else PerExpert, which needs no more than linear.
template <class B, class T, class Expert, class Order = Halves>
using MethodFor = std::conditional_t<HasKernel<kernels::expert_linear<typename Expert::scheme, T>, B>, Grouped<Expert, Order>,
                                     PerExpert<Expert, Order>>;

/// Routes rows, and sums over their experts and over ranks. `plus`, where not null: this rank's term of what every row gets
/// besides.
template <class Rule, StepContext Ctx, class T>
void mix(Ctx& ctx, const auto& router, const auto& experts, Tensor<T> x, Tensor<T> out, const T* plus = nullptr) {
  auto f = ctx.frame();
  const int top_k = ctx.top_k();
  const auto logits = temp<float>(ctx, x.rows, ctx.experts());
  router(ctx, x, logits);
  const auto expert = temp<int>(ctx, x.rows, top_k);
  const auto weight = temp<float>(ctx, x.rows, top_k);
  const float* bias = nullptr;
  if constexpr (Rule::biased) bias = router.e_score_correction_bias.data;
  run<kernels::route_topk<Rule>>(ctx, {logits.data, bias, expert.data, weight.data, x.rows, logits.cols, top_k, ctx.groups(),
                                       ctx.top_groups(), ctx.renormalises_topk(), ctx.numbers.routed_scale});
  experts(ctx, x, {expert.data, weight.data, top_k}, plus, out);
  ops::reduce(ctx, out);
}

}  // namespace atom::moe

namespace atom::ops {

template <class Router, class Method, class Rule> struct FusedMoE {
  using scheme = typename Router::scheme;  // what the norm in front must leave: the router reads it as it is
  ATOM_MODULE(FusedMoE, (Router, gate), (Method, experts));

  void shape(const model::ModelSpec& s, int /*layer*/) { experts.shape(s.moe.experts); }

  /// x: (rows, d_model) -> out of the same shape, summed over ranks.
  template <StepContext Ctx, class T> void operator()(Ctx& ctx, Tensor<T> x, Tensor<T> out) const {
    moe::mix<Rule>(ctx, gate, experts, x, out);
  }
};

/// The same, with a `Shared` MLP that every row passes through.   Dai et al. 2024, https://arxiv.org/abs/2401.06066
template <class Router, class Method, class Rule, class Shared> struct SharedMoE {
  using scheme = typename Router::scheme;
  ATOM_MODULE(SharedMoE, (Router, gate), (Method, experts), (Shared, shared_experts));

  void shape(const model::ModelSpec& s, int /*layer*/) { experts.shape(s.moe.experts); }

  template <StepContext Ctx, class T> void operator()(Ctx& ctx, Tensor<T> x, Tensor<T> out) const {
    auto f = ctx.frame();
    const auto shared = temp<T>(ctx, x.rows, x.cols);
    shared_experts.partial(ctx, x, shared);
    moe::mix<Rule>(ctx, gate, experts, x, out, shared.data);
  }
};

}  // namespace atom::ops
