#pragma once
// QTensor<Q>: an activation already quantised under scheme Q. A norm that quantises returns one, Linear<Q> consumes it as is,
// and the separate quantise step vanishes without an `if`.
#include "atom/engine/context.hpp"
#include "atom/quant/scheme.hpp"

namespace atom::quant {

template <QuantizesActivations Q> struct QTensor : Tensor<typename Q::act> {
  float* scales = nullptr;  // (rows)
};

template <QuantizesActivations Q> QTensor<Q> qtemp(StepContext auto& ctx, int rows, int cols) noexcept {
  static_assert(Q::a == per_row, "atom: qtemp: only one scale per token is laid out so far; add the scheme's group here");
  return {temp<typename Q::act>(ctx, rows, cols), temp<float>(ctx, rows, 1).data};
}

}  // namespace atom::quant
