#pragma once
// RMSNorm<Fused...>: the tags say what else happens in the same pass over the row.
// One idea: a norm that quantises returns a QTensor, so its consumer's own quantise step disappears by overload; NormFor<C>
// asks the *type* of what follows, and that is the whole fusion pass.
// To extend: add a tag, a flag in kernels::NormFlags, and kernels; call sites change by type only.
#include "atom/engine/context.hpp"
#include "atom/model/reflect.hpp"
#include "atom/ops/norm_op.hpp"
#include "atom/quant/qtensor.hpp"

namespace atom::ops {

struct AddResidual {};             // residual += x, then normalise residual
struct RoundOnce {};               // not before the weights, only after
struct ZeroCentred {};             // files hold the weights less one
template <int N> struct PadTo {};  // rows as long as a multiple of N, for a consumer that takes whole blocks
template <quant::QuantizesActivations Q> struct Quantize { using scheme = Q; };

template <class T> inline constexpr bool is_quantize = false;
template <class Q> inline constexpr bool is_quantize<Quantize<Q>> = true;
template <class T> inline constexpr int pads_to = 0;
template <int N> inline constexpr int pads_to<PadTo<N>> = N;
template <class T>
concept NormFusion = std::same_as<T, AddResidual> || std::same_as<T, RoundOnce> || std::same_as<T, ZeroCentred> || is_quantize<T> ||
    (pads_to<T> > 0);

template <class... F> struct quant_of { using type = quant::Keep; };
template <class Q, class... F> struct quant_of<Quantize<Q>, F...> { using type = Q; };
template <class H, class... F> struct quant_of<H, F...> : quant_of<F...> {};

/// hidden = sum + delta. A layer writes delta; the next AddResidual norm adds it. `pending`: there is a delta to add.
template <class T> struct ResidualStream {
  Tensor<T> sum, delta;  // (rows, d_model)
  bool pending = false;
};

template <model::Width W, class... Fused> struct RMSNormOver {
  static_assert((NormFusion<Fused> && ...),
                "atom: RMSNorm<...> accepts AddResidual, RoundOnce, ZeroCentred, PadTo<N> and Quantize<Q>");
  static_assert((int(is_quantize<Fused> || pads_to<Fused> > 0) + ... + 0) <= 1,
                "atom: RMSNorm<...>: at most one Quantize<Q> or PadTo<N>: what quantises needs no padding");
  static constexpr int multiple = (pads_to<Fused> + ... + 0);
  static constexpr kernels::NormFlags flags{.residual = (std::same_as<Fused, AddResidual> || ...),
                                            .once = (std::same_as<Fused, RoundOnce> || ...),
                                            .padded = multiple > 0};
  using Q = typename quant_of<Fused...>::type;
  using Weight = model::Param<float, W, model::Width{1}>;
  ATOM_MODULE(RMSNormOver, (Weight, weight));

  template <class Ctx> void describe(model::ParamTable& out, const model::ParamPath& path) {
    auto ref = model::param_ref(model::spell({&path, "weight"}), weight);
    if constexpr ((std::same_as<Fused, ZeroCentred> || ...)) ref.map = [](float w) { return 1 + w; };
    out.push_back(std::move(ref));
  }
  template <StepContext Ctx> auto operator()(Ctx& ctx, ResidualStream<typename Ctx::act>& r) const requires(flags.residual) {
    auto x = r.delta;
    if (!r.pending) x.data = nullptr;
    r.pending = true;
    return apply(ctx, x, r.sum.data, ctx.numbers.rms_eps);
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
/// The residual norm in front of consumer C (anything with a `scheme`): it quantises when C wants it quantised.
template <class C, class... Fused> using NormFor = typename norm_for<typename C::scheme, Fused...>::type;

}  // namespace atom::ops
