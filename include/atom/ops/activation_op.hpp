#pragma once
// silu_mul: y = silu(gate) * up, the middle of a SwiGLU MLP; optionally quantised for the projection behind it.
#include "atom/core/cost.hpp"
#include "atom/core/run.hpp"
#include "atom/quant/scheme.hpp"

namespace atom::kernels {

/// y = T(silu(gate)) * up, silu(z) = z / (1 + exp(-z)). Q = quant::Keep writes y; a quantising scheme writes q and scale.
template <quant::Scheme Q, class T> struct silu_mul {
  static constexpr bool quantizes = quant::QuantizesActivations<Q>;
  struct args {
    const T* gate_up;    // (rows, 2 * cols): gate, then up; row stride ldx
    T* y;                // (rows, cols), or null when quantising
    typename Q::act* q;  // (rows, cols), or null
    float* scale;        // (rows), or null
    int rows, cols, ldx;
  };
  static constexpr Name name() {
    Name n{"silu_mul<", type_name<T>};
    if constexpr (quantizes) {
      n += ",";
      n += Q::name();
    }
    n += ">";
    return n;
  }
  static constexpr Cost cost(const args& a) {
    const double n = double(a.rows) * a.cols;
    return {n * (2 * sizeof(T) + (quantizes ? 1 : sizeof(T))), 6 * n};
  }
};

}  // namespace atom::kernels
