#pragma once
// Linear<Quant, TPDim, Out, In>: y = x · Wᵀ (+ bias), cut over ranks as TPDim says.
// One idea: how Linear finds its kernel is no lookup, only a type; an input that is already quantised for this scheme has its
// own overload, one quantised for another scheme does not compile.
// To extend: a new scheme needs no change here (docs/adding_a_scheme.md).
#include "atom/engine/context.hpp"
#include "atom/model/reflect.hpp"
#include "atom/ops/comm_op.hpp"
#include "atom/ops/linear_op.hpp"
#include "atom/ops/norm.hpp"
#include "atom/quant/codec.hpp"
#include "atom/quant/qtensor.hpp"

namespace atom::ops {

/// y: (rows, cols) of every rank, summed in place.
template <StepContext Ctx, class Y, int R, int C> void reduce(Ctx& ctx, Tensor<Y, R, C> y) {
  if constexpr (Ctx::tp != 1)
    if (ctx.comm->size() > 1)
      run<kernels::all_reduce<Y, typename Ctx::comm_type>>(
          ctx, {y.data, static_cast<std::size_t>(y.rows) * static_cast<std::size_t>(y.stride), ctx.comm});
}

using model::Bias;
using model::Width;

/// A backend whose kernel profits from constant Out and In says so here; all others share one instantiation per scheme
/// (measured: about 1 % on a bf16 GEMV, so the default is to share).
template <class Q, class Backend> inline constexpr bool static_shape = false;

template <quant::Scheme Q, Width Out> struct scale_param { using type = model::NoParam; };
template <quant::Scaled Q, Width Out> struct scale_param<Q, Out> { using type = model::Param<float, Out>; };

template <quant::Scheme Q, TPDim Tp = TPDim::none, Width Out = Width(), Width In = Width(), Bias B = Bias::never> struct Linear {
  using scheme = Q;
  using Weight = model::Param<typename Q::weight, Out, In, Tp>;
  using Scale = typename scale_param<Q, Out>::type;
  using BiasParam = std::conditional_t<B == Bias::never, model::NoParam, model::Param<float, Out, Width{1}, Tp>>;
  ATOM_MODULE(Linear, (Weight, weight), (Scale, weight_scale), (BiasParam, bias));

  template <class Ctx, class Y>
  using op = std::conditional_t<static_shape<Q, typename Ctx::backend>, kernels::linear<Q, typename Ctx::act, Y, Out.n, In.n>,
                                kernels::linear<Q, typename Ctx::act, Y>>;

  /// x: (rows, In) of the context's activation type, or a QTensor<Q>. Returns (rows, Out) in the arena.
  template <StepContext Ctx> auto operator()(Ctx& ctx, const auto& x) const {
    auto y = temp<typename Ctx::act, dynamic, Out.n>(ctx, x.rows, weight.rows);
    (*this)(ctx, x, y);
    return y;
  }
  /// Whether a step on Ctx's backend joins this product with what surrounds it, for the sizes that its kernel takes.
  template <class Ctx, class Tail>
  static constexpr bool fuses = [] {
    if constexpr (quant::QuantizesActivations<Q>)
      return false;
    else
      return joins<kernels::fused_linear<Q, typename Ctx::act, Tail>, typename Ctx::target>;
  }();
  /// Does it, if it can: x is a Tensor or ToNormalise, y and best as Tail says.
  template <class Tail, StepContext Ctx, class T, class Y>
  [[nodiscard]] bool fused(Ctx& ctx, const ToNormalise<T>& x, Tensor<Y> y, std::uint64_t* best = nullptr) const
      requires(fuses<Ctx, Tail>) {
    using joined = kernels::fused_linear<Q, T, Tail>;
    const typename joined::args a{arguments<Ctx, Y>(ctx, x.x.data, nullptr, x.rows, x.x.stride, y.data, y.stride), x.weight, x.eps,
                                  best};
    if (impl<joined, typename Ctx::target>::takes(a)) {
      run<joined>(ctx, a);
      return true;
    }
    if constexpr (!std::same_as<Tail, kernels::Write>)
      if (x.weight) {  // perhaps without the norm
        auto f = ctx.frame();
        return fused<Tail>(ctx, x.done(ctx), y);
      }
    return false;
  }
  template <class Tail, StepContext Ctx, class T, int C, class Y>
  [[nodiscard]] bool fused(Ctx& ctx, Tensor<T, dynamic, C> x, Tensor<Y> y, std::uint64_t* best = nullptr) const
      requires(fuses<Ctx, Tail>) {
    return fused<Tail>(ctx, ToNormalise<T>{{x.data, x.rows, x.cols, x.stride}, nullptr, 0, x.rows}, y, best);
  }
  /// Adds to the residual, or leaves it what to add.
  template <StepContext Ctx, class T> void operator()(Ctx& ctx, const auto& x, Onto<T> out) const {
    if constexpr (fuses<Ctx, kernels::Add>)
      if (alone(ctx) && fused<kernels::Add>(ctx, x, out.stream->sum)) {
        out.stream->pending = false;
        return;
      }
    (*this)(ctx, x, out.stream->delta);
  }

  /// Writes into y: (rows, Out), any float type the backend has a kernel for.
  template <StepContext Ctx, class Y, int R2, int C2> void operator()(Ctx& ctx, const auto& x, Tensor<Y, R2, C2> y) const {
    partial(ctx, x, y);
    if constexpr (Tp == TPDim::row) reduce(ctx, y);
  }

  template <StepContext Ctx, class T, class Y, int R2, int C2>
  void partial(Ctx& ctx, const ToNormalise<T>& x, Tensor<Y, R2, C2> y) const {
    if constexpr (fuses<Ctx, kernels::Write> && std::same_as<T, Y>)
      if (x.weight && fused<kernels::Write>(ctx, x, Tensor<T>{y.data, y.rows, y.cols, y.stride})) return;
    auto f = ctx.frame();
    partial(ctx, x.done(ctx), y);
  }
  /// The same before the sum over ranks, for who adds something of its own first.
  template <StepContext Ctx, class T, int C, class Y, int R2, int C2>
  void partial(Ctx& ctx, Tensor<T, dynamic, C> x, Tensor<Y, R2, C2> y) const {
    static_assert(std::same_as<T, typename Ctx::act>, "atom: Linear: the input is not of the build's activation type");
    static_assert(C == dynamic || In.n == dynamic || C == In.n, "atom: Linear: input width differs from the weight's In");
    if constexpr (quant::QuantizesActivations<Q>) {
      auto f = ctx.frame();
      auto q = quant::qtemp<Q>(ctx, x.rows, x.cols);
      run<kernels::quantize<Q, T>>(ctx, {x.data, q.data, q.scales, x.rows, x.cols, x.stride});
      multiply(ctx, static_cast<const typename Q::act*>(q.data), q.scales, x.rows, q.stride, y);
    } else {
      multiply(ctx, static_cast<const T*>(x.data), nullptr, x.rows, x.stride, y);
    }
  }
  template <StepContext Ctx, class Q2, class Y, int R2, int C2>
  void partial(Ctx& ctx, const quant::QTensor<Q2>& x, Tensor<Y, R2, C2> y) const {
    static_assert(std::same_as<Q, Q2>, "atom: the norm quantised this activation for a different scheme than the Linear expects");
    multiply(ctx, static_cast<const typename Q::act*>(x.data), x.scales, x.rows, x.stride, y);
  }

  /// What this rank adds: (Out), or null.
  template <StepContext Ctx> const float* added_bias(Ctx& ctx) const {
    if constexpr (Tp == TPDim::row && Ctx::tp != 1)
      return bias_if(ctx.comm->rank() == 0);
    else
      return bias_if(true);
  }
  /// The same. `first`: of the ranks that have parts of In, or the one that has all of it; the sum over them must add it once.
  const float* bias_if([[maybe_unused]] bool first) const {
    if (Tp == TPDim::row && !first) return nullptr;
    if constexpr (B != Bias::never)
      return bias.data;
    else
      return nullptr;
  }

  /// The weight's row of the parameter table: where the kernel of Ctx's build wants it, and how the scheme encodes it.
  template <class Ctx> void describe(model::ParamTable& out, const model::ParamPath& path) {
    model::ParamRef& ref = model::add_row(out, {&path, "weight"}, weight);
    if constexpr (HasKernel<op<Ctx, typename Ctx::act>, typename Ctx::backend>)
      ref.layout = quant::layout_of<impl<op<Ctx, typename Ctx::act>, typename Ctx::backend>>();
    if constexpr (quant::Scaled<Q>) {
      ref.scale = &weight_scale.data;
      ref.encode = [](const float* row, int full, int first, int n, void* to, float* scale) {
        if constexpr (quant::QuantizesActivations<Q>) {  // then weights may be encoded as activations are
          using Kernel = impl<kernels::quantize<Q, float>, typename Ctx::backend>;
          if constexpr (requires(typename Q::weight * w) { Kernel::encode_row(row, n, w, scale); })
            if (n == full) return Kernel::encode_row(row, n, static_cast<typename Q::weight*>(to), scale);
        }
        *scale = quant::codec<Q>::scale_of(row, full);
        for (int i = 0; i < n; ++i) static_cast<typename Q::weight*>(to)[i] = quant::codec<Q>::encode(row[first + i], *scale);
      };
    }
    if constexpr (B != Bias::never) model::add_row(out, {&path, "bias"}, bias).when = B;
  }

 private:
  template <class Ctx> static bool alone(Ctx& ctx) {
    if constexpr (Tp != TPDim::row || Ctx::tp == 1)
      return true;
    else
      return ctx.comm->size() == 1;
  }
  template <class Ctx, class Y, class X>
  typename kernels::linear<Q, typename Ctx::act, Y>::args arguments(Ctx& ctx, const X* x, const float* x_scale, int rows, int ldx,
                                                                    Y* y, int ldy) const {
    const float* w_scale = nullptr;
    if constexpr (quant::Scaled<Q>) w_scale = weight_scale.data;
    return {x, x_scale, weight.data, w_scale, added_bias(ctx), y, rows, weight.rows, weight.cols, ldx, ldy};
  }
  template <class Ctx, class X, class Y, int R2, int C2>
  void multiply(Ctx& ctx, const X* x, const float* x_scale, int rows, int ldx, Tensor<Y, R2, C2> y) const {
    const auto a = arguments<Ctx, Y>(ctx, x, x_scale, rows, ldx, y.data, y.stride);
    run<op<Ctx, Y>>(ctx, {a.x, a.x_scale, a.w, a.w_scale, a.bias, a.y, a.rows, a.out, a.in, a.ldx, a.ldy});
  }
};

}  // namespace atom::ops
