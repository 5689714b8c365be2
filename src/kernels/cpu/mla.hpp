#pragma once
// Latent attention of the Cpu backend: what a level provides (mla_rows.hpp has the text); src/kernels/mla.cpp puts it together.
// One idea: kv_b_proj exists once, in linear's panels [dword of `in`][row], and is multiplied from either side: lanes are its rows,
// so y = W x broadcasts x, and u = Wᵀ q keeps q in registers and adds lanes up.
#include <cstddef>

#include "atom/core/dtype.hpp"

#include "levels.hpp"

namespace atom::cpu {

/// Some rows of a weight in linear's panels, from a panel's first row on.
struct PanelRows {
  const char* panels;
  std::ptrdiff_t panel_bytes;
  const float* scale;  // (rows), or null
  int rows, cols;      // multiples of 32
};

/// X: activations, W: weights.
template <class Level, class X, class W> struct LatentHeads {
  /// u[i] = Wᵀ q[i], i < n. q: (n, rows), u: (n, cols), rounded to X.
  static void absorb(const PanelRows& w, const X* q, std::ptrdiff_t ldq, int n, X* u, std::ptrdiff_t ldu);
  /// y[i] = W x[i], i < n. x: (n, cols), y: (n, rows).
  static void make(const PanelRows& w, const X* x, std::ptrdiff_t ldx, int n, float* y, std::ptrdiff_t ldy);
};

template <class Level, class T> struct LatentRows {
  /// `heads` parts of rotary_dim channels, a multiple of 32, `stride` apart. angles: cosines, then sines.
  static void rotate_pairs(T* x, int heads, std::ptrdiff_t stride, const float* angles, int rotary_dim);
  /// sum = keep * sum + weight * x, n a multiple of 16.
  static void blend(float* sum, float keep, const T* x, float weight, int n);
  /// y = x * factor, n a multiple of 16.
  static void put(const float* x, float factor, T* y, int n);
};

}  // namespace atom::cpu
