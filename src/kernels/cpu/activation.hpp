#pragma once
// act(gate) * up, and plain quantization, of the Cpu backend: what a level provides (activation_rows.hpp has the text).
#include "atom/core/dtype.hpp"
#include "atom/ops/activation_op.hpp"

#include "levels.hpp"

namespace atom::cpu {

/// kernels::gate_mul's arguments; q is null where the key does not quantise.
template <class T> struct GateRows {
  const T* gate_up;  // (rows, 2 * cols): gate, then up; row stride ldx
  T* y;              // (rows, cols) unless q
  int8* q;           // (rows, cols), or null
  float* scale;      // (rows) with q
  int cols, ldx;
};

/// kernels::quantize's arguments.
template <class T> struct QuantizeRows {
  const T* x;    // (rows, cols), row stride ldx
  int8* q;       // (rows, cols)
  float* scale;  // (rows)
  int cols, ldx;
};

/// Rows [first, first + count).
template <class Level, class T> struct Activations {
  /// A: activation::Silu or ClampedSwiglu.
  template <class A> static void gate_mul(const GateRows<T>& a, int first, int count);
  static void sigmoid_gate(const typename kernels::sigmoid_gate<T>::args& a, int first, int count);
  static void quantize(const QuantizeRows<T>& a, int first, int count);
};

}  // namespace atom::cpu
