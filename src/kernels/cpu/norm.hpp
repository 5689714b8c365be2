#pragma once
// RMSNorm and LayerNorm of the Cpu backend: what a level provides (norm_rows.hpp has the text).
#include "atom/core/dtype.hpp"
#include "atom/ops/norm_op.hpp"

#include "levels.hpp"

namespace atom::cpu {

/// kernels::rmsnorm's arguments with its flags as pointers: residual and q are null where the key has none.
template <class T> struct RmsRows {
  const T* x;      // (rows, cols), row stride ldx, or null
  T* residual;     // (rows, cols), or null
  const float* w;  // (cols)
  T* y;            // (rows, width) unless q, with zeros behind cols
  int8* q;         // (rows, cols), or null
  float* scale;    // (rows) with q
  int cols, ldx, width;
  float eps;
  bool once;
};

/// Rows [first, first + count).
template <class Level, class T> struct Norms {
  static void rms(const RmsRows<T>& a, int first, int count);
  static void gated(const typename kernels::gated_rmsnorm<T>::args& a, int first, int count);
  static void layer(const typename kernels::layernorm<T>::args& a, int first, int count);
};

}  // namespace atom::cpu
