#pragma once
// Rotary embedding of the Cpu backend: what a level provides (rope_rows.hpp has the text).
#include "atom/core/dtype.hpp"

#include "levels.hpp"

namespace atom::cpu {

inline constexpr int widest_head = 256;  // whose angles and weights lie sorted on the stack

/// kernels::rope's arguments; the head width is a number here, q_norm is null where the key has no QK-norm.
template <class T> struct RopeRows {
  T* qkv;                // (rows, (heads + 2 * kv_heads) * d), row stride ld
  const int* positions;  // (rows)
  const float* cos_sin;  // (positions, rotary_dim): cos[R/2], sin[R/2]
  const float* q_norm;   // (d), or null
  const float* k_norm;   // (d), or null
  int d, heads, kv_heads, ld, rotary_dim;
  float eps;
  bool once;  // weigh, then round
};

/// Rows [first, first + count).
template <class Level, class T> struct Rope { static void rotate(const RopeRows<T>& a, int first, int count); };

}  // namespace atom::cpu
