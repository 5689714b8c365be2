#pragma once
// RMSNorm<Fused...>: the tags say what else happens in the same pass over the row.
// One idea: a norm that quantises returns a QTensor, so its consumer's own quantise step disappears by overload; NormFor<C>
// asks the *type* of what follows, and that is the whole fusion pass.
// To extend: add a tag, a flag in kernels::NormFlags, and kernels; call sites change by type only.
#include <utility>

#include "atom/engine/context.hpp"
#include "atom/model/reflect.hpp"
#include "atom/ops/linear_op.hpp"
#include "atom/ops/norm_op.hpp"
#include "atom/quant/qtensor.hpp"

namespace atom::ops {

struct AddResidual {};             // residual += x, then normalise residual
struct RoundOnce {};               // not before the weights, only after
struct ZeroCentred {};             // files hold the weights less one
template <int N> struct PadTo {};  // rows as long as a multiple of N, for a consumer that takes whole blocks
template <quant::QuantizesActivations Q> struct Quantize { using scheme = Q; };
template <class Linear> struct For {};  // the one reader of these rows, which normalises them itself where it can

template <class T> inline constexpr bool is_quantize = false;
template <class Q> inline constexpr bool is_quantize<Quantize<Q>> = true;
template <class T> inline constexpr bool is_reader = false;
template <class L> inline constexpr bool is_reader<For<L>> = true;
template <class T> inline constexpr int pads_to = 0;
template <int N> inline constexpr int pads_to<PadTo<N>> = N;
template <class T>
concept NormFusion = std::same_as<T, AddResidual> || std::same_as<T, RoundOnce> || std::same_as<T, ZeroCentred> || is_quantize<T> ||
    is_reader<T> ||(pads_to<T> > 0);

template <class... F> struct quant_of { using type = quant::Keep; };
template <class Q, class... F> struct quant_of<Quantize<Q>, F...> { using type = Q; };
template <class H, class... F> struct quant_of<H, F...> : quant_of<F...> {};
template <class... F> struct reader_of { template <class Ctx> static constexpr bool normalises = false; };
template <class L, class... F> struct reader_of<For<L>, F...> {
  template <class Ctx> static constexpr bool normalises = L::template fuses<Ctx, kernels::Write>;
};
template <class H, class... F> struct reader_of<H, F...> : reader_of<F...> {};

/// hidden = sum + delta. A layer writes delta, and the next AddResidual norm adds it; or what it ends with adds to sum at once.
/// `pending`: there is a delta to add.
template <class T> struct ResidualStream {
  Tensor<T> sum, delta;  // (rows, d_model)
  bool pending = false;
};
/// Where a layer that ends with a Linear leaves its answer: the Linear knows whether it can add.
template <class T> struct Onto { ResidualStream<T>* stream; };
/// Where M leaves its answer. M::last: the Linear that writes all of it.
template <class M, class T> auto onto(ResidualStream<T>& r) {
  if constexpr (requires { typename M::last; })
    return Onto<T>{&r};
  else
    return r.delta;
}

/// Rows for one Linear, which normalises them itself where it can.
template <class T> struct ToNormalise {
  Tensor<T> x;          // (rows, d_model)
  const float* weight;  // (d_model), or null: that is done already
  float eps;
  int rows;

  /// x, normalised.
  template <StepContext Ctx> Tensor<T> done(Ctx& ctx) const {
    if (!weight) return x;
    auto y = temp<T>(ctx, x.rows, x.cols);
    run<kernels::rmsnorm<kernels::NormFlags{}, quant::Keep, T>>(
        ctx, {x.data, nullptr, weight, y.data, nullptr, nullptr, x.rows, x.cols, x.stride, eps});
    return y;
  }
};

template <model::Width W, class... Fused> struct RMSNormOver {
  static_assert((NormFusion<Fused> && ...),
                "atom: RMSNorm<...> accepts AddResidual, RoundOnce, ZeroCentred, PadTo<N>, Quantize<Q> and For<Linear>");
  static_assert((int(is_quantize<Fused> || pads_to<Fused> > 0) + ... + 0) <= 1,
                "atom: RMSNorm<...>: at most one Quantize<Q> or PadTo<N>: what quantises needs no padding");
  static constexpr int multiple = (pads_to<Fused> + ... + 0);
  static constexpr kernels::NormFlags flags{.residual = (std::same_as<Fused, AddResidual> || ...),
                                            .once = (std::same_as<Fused, RoundOnce> || ...),
                                            .padded = multiple > 0};
  using Q = typename quant_of<Fused...>::type;
  template <class Ctx>
  static constexpr bool leaves_to_reader =
      reader_of<Fused...>::template normalises<Ctx>&& std::same_as<Q, quant::Keep> && !flags.once && !flags.padded;
  using Weight = model::Param<float, W, model::Width{1}>;
  ATOM_MODULE(RMSNormOver, (Weight, weight));

  template <class Ctx> void describe(model::ParamTable& out, const model::ParamPath& path) {
    [[maybe_unused]] model::ParamRef& ref = model::add_row(out, {&path, "weight"}, weight);
    if constexpr ((std::same_as<Fused, ZeroCentred> || ...)) ref.map = [](float w) { return 1 + w; };
  }
  /// What follows writes r.delta, or adds to r.sum and says so.
  template <StepContext Ctx> auto operator()(Ctx& ctx, ResidualStream<typename Ctx::act>& r) const requires(flags.residual) {
    using T = typename Ctx::act;
    const bool pending = std::exchange(r.pending, true);
    auto x = r.delta;
    if (!pending) x.data = nullptr;
    if constexpr (leaves_to_reader<Ctx>) {
      if (!pending) return ToNormalise<T>{r.sum, weight.data, ctx.numbers.rms_eps, x.rows};
      return ToNormalise<T>{apply(ctx, x, r.sum.data, ctx.numbers.rms_eps), nullptr, 0, x.rows};
    } else {
      return apply(ctx, x, r.sum.data, ctx.numbers.rms_eps);
    }
  }
  template <StepContext Ctx> auto operator()(Ctx& ctx, Tensor<typename Ctx::act> x) const requires(!flags.residual) {
    return apply(ctx, x, nullptr, ctx.numbers.rms_eps);
  }

 protected:
  template <class Ctx, class T> auto apply(Ctx& ctx, Tensor<T> x, std::type_identity_t<T>* residual, float eps) const {
    using op = kernels::rmsnorm<flags, Q, T>;
    if constexpr (op::quantizes) {
      auto y = quant::qtemp<Q>(ctx, x.rows, x.cols);
      run<op>(ctx, {x.data, residual, weight.data, nullptr, y.data, y.scales, x.rows, x.cols, x.stride, eps});
      return y;
    } else {
      const int cols = x.cols, width = multiple > 0 ? (cols + multiple - 1) / multiple * multiple : cols;
      auto y = temp<T>(ctx, x.rows, width);
      run<op>(ctx, {x.data, residual, weight.data, y.data, nullptr, nullptr, x.rows, cols, x.stride, eps, width});
      return y;
    }
  }
};

/// Over the model's width.
template <class... Fused> using RMSNorm = RMSNormOver<model::Width(dynamic, model::Axis::d_model), Fused...>;
/// Over one head: the weights of a QK-norm.
template <class... Fused> using HeadNormOf = RMSNormOver<model::Width(dynamic, model::Axis::head_dim), Fused...>;
using HeadNorm = HeadNormOf<>;

template <quant::Scheme Q, class... Fused> struct norm_for { using type = RMSNorm<AddResidual, Fused...>; };
template <quant::QuantizesActivations Q, class... Fused> struct norm_for<Q, Fused...> {
  using type = RMSNorm<AddResidual, Quantize<Q>, Fused...>;
};
/// The residual norm in front of consumer C (anything with a `scheme`): it quantises when C wants it quantised, and leaves itself
/// to C::first, the Linear that alone reads what C is given, where that can normalise.
template <class C, class... Fused> struct norm_of { using type = typename norm_for<typename C::scheme, Fused...>::type; };
template <class C, class... Fused>
requires requires { typename C::first; }
struct norm_of<C, Fused...> {
  using type = typename norm_for<typename C::scheme, Fused..., For<typename C::first>>::type;
};
template <class C, class... Fused> using NormFor = typename norm_of<C, Fused...>::type;

}  // namespace atom::ops
