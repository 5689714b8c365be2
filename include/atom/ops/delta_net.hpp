#pragma once
// A gated delta net as a forward pass says it: convolve, then the delta rule, then the gated norm.   Yang et al. 2024,
// https://arxiv.org/abs/2412.06464
// One idea: beside attention.hpp, but what a layer keeps of a sequence is a state of fixed size, at the sequence's place in
// ctx.states, and not a row per token. `place`: which of the layers with a state this is.
// To extend: another recurrence takes a Recurrence in its args, and its own layout.
#include "atom/engine/context.hpp"
#include "atom/model/reflect.hpp"
#include "atom/ops/delta_net_op.hpp"
#include "atom/ops/norm_op.hpp"

namespace atom::ops {

/// The states of one layer, from float `at` of each on, and whose they are.
template <StepContext Ctx> kernels::Recurrence recurrence(Ctx& ctx, int place, std::size_t at) {
  const Batch& b = ctx.batch;
  float* layer = ctx.states.layer(place);
  ATOM_ASSERT(!layer || b.states, "a step of a model with states needs Batch::states");
  return {layer ? layer + at : nullptr, b.states, b.first_row, b.context, b.seqs, ctx.states.floats};
}

/// A short causal convolution over queries, keys and values, then silu.
struct CausalConv {
  static constexpr model::Width channels{dynamic, model::Axis::delta_keys, model::Axis::delta_keys, model::Axis::delta_values};
  using Weight = model::Param<float, channels, model::Width{dynamic, model::Axis::delta_taps}, TPDim::col>;
  ATOM_MODULE(CausalConv, (Weight, weight));

  /// x: (rows, channels) -> the same.
  template <StepContext Ctx> auto operator()(Ctx& ctx, Tensor<typename Ctx::act> x, int place) const {
    using T = typename Ctx::act;
    auto y = temp<T>(ctx, x.rows, x.cols);
    run<kernels::causal_conv<T>>(ctx,
                                 {x.data, weight.data, y.data, recurrence(ctx, place, 0), x.rows, x.cols, weight.cols, x.stride});
    return y;
  }
};

/// RMSNorm of every value head, times silu(z).
struct GatedNorm {
  using Weight = model::Param<float, model::Width{dynamic, model::Axis::delta_value_dim}, model::Width{1}>;
  ATOM_MODULE(GatedNorm, (Weight, weight));

  /// x, z: (rows, value heads side by side) -> the same.
  template <StepContext Ctx> auto operator()(Ctx& ctx, Tensor<typename Ctx::act> x, Tensor<typename Ctx::act> z) const {
    using T = typename Ctx::act;
    auto y = temp<T>(ctx, x.rows, x.cols);
    run<kernels::gated_rmsnorm<T>>(
        ctx, {x.data, z.data, weight.data, y.data, x.rows, x.cols / weight.rows, weight.rows, z.stride, ctx.numbers.rms_eps});
    return y;
  }
};

/// qkv: (rows, queries, keys and values of all heads), convolved; ba: (rows, b and a of every value head); rate, shift: (value
/// heads)
/// -> (rows, value heads side by side).
template <StepContext Ctx>
auto delta_rule(Ctx& ctx, Tensor<typename Ctx::act> qkv, auto ba, const float* rate, const float* shift, int place) {
  using T = typename Ctx::act;
  const model::DeltaSpec& d = ctx.local.delta;
  const int rows = qkv.rows;
  auto o = temp<T>(ctx, rows, d.value_heads * d.value_dim);
  auto f = ctx.frame();
  const auto decay = temp<float>(ctx, rows, d.value_heads), beta = temp<float>(ctx, rows, d.value_heads);
  run<kernels::delta_gates<T>>(ctx, {ba.data, rate, shift, decay.data, beta.data, rows, d.value_heads, ba.stride});
  run<kernels::gated_delta<T>>(
      ctx, {qkv.data, decay.data, beta.data, o.data, recurrence(ctx, place, kernels::delta_layout(d).heads_at()), rows, d.key_heads,
            d.value_heads, d.key_dim, d.value_dim});
  return o;
}

}  // namespace atom::ops
