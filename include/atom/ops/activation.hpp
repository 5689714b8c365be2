#pragma once
// gate_mul<A, Consumer>: the middle of a gated MLP, quantised in the same pass when the projection behind it wants that.
#include "atom/engine/context.hpp"
#include "atom/ops/activation_op.hpp"
#include "atom/ops/linear_op.hpp"
#include "atom/quant/qtensor.hpp"

namespace atom::ops {

/// gate_up: (rows, 2n) -> (rows, n), a Tensor or the QTensor that Consumer takes.
template <class A, class Consumer, StepContext Ctx> auto gate_mul(Ctx& ctx, auto gate_up) {
  using T = typename Ctx::act;
  using Q = typename Consumer::scheme;
  const int n = gate_up.cols / 2;
  if constexpr (quant::QuantizesActivations<Q>) {
    auto y = quant::qtemp<Q>(ctx, gate_up.rows, n);
    run<kernels::gate_mul<A, Q, T>>(ctx, {gate_up.data, nullptr, y.data, y.scales, gate_up.rows, n, gate_up.stride});
    return y;
  } else {
    auto y = temp<T>(ctx, gate_up.rows, n);
    run<kernels::gate_mul<A, quant::Keep, T>>(ctx, {gate_up.data, y.data, nullptr, nullptr, gate_up.rows, n, gate_up.stride});
    return y;
  }
}
/// The same of up's product with x, in one pass over its weights where the backend can.
template <class A, class Consumer, StepContext Ctx, class Up> auto gate_mul(Ctx& ctx, const Up& up, const auto& x) {
  using T = typename Ctx::act;
  if constexpr (Up::template fuses<Ctx, kernels::Gate<A>> && !quant::QuantizesActivations<typename Consumer::scheme>) {
    auto y = temp<T>(ctx, x.rows, up.weight.rows / 2);
    if (up.template fused<kernels::Gate<A>>(ctx, x, y)) return y;
    auto f = ctx.frame();
    const auto gate_up = up(ctx, x);
    run<kernels::gate_mul<A, quant::Keep, T>>(ctx, {gate_up.data, y.data, nullptr, nullptr, y.rows, y.cols, gate_up.stride});
    return y;
  } else {
    return gate_mul<A, Consumer>(ctx, up(ctx, x));
  }
}
template <class Consumer, StepContext Ctx> auto silu_mul(Ctx& ctx, auto gate_up) {
  return gate_mul<activation::Silu, Consumer>(ctx, gate_up);
}

/// x: (rows, cols), multiplied by sigmoid(gate) in place; each of a row's gates is that of as many neighbouring columns.
template <StepContext Ctx, class T> void open_gates(Ctx& ctx, Tensor<T> x, auto gate) {
  run<kernels::sigmoid_gate<T>>(ctx, {x.data, gate.data, x.rows, x.cols, gate.cols, x.stride, gate.stride});
}

}  // namespace atom::ops
