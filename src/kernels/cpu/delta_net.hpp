#pragma once
// The recurrence of gated delta nets of the Cpu backend: what a level provides (delta_net_rows.hpp has the text).
#include "atom/core/dtype.hpp"
#include "atom/ops/delta_net_op.hpp"

#include "levels.hpp"

namespace atom::cpu {

inline constexpr int conv_block = 256;  // channels at a time, whose weights and past lie on the stack

template <class Level, class T> struct DeltaNet {
  /// Columns of a head's state that go through all rows together: their part of it stays in the nearest cache.
  static int columns();

  /// Channels [first, first + count), count <= conv_block, of all sequences.
  static void conv(const typename kernels::causal_conv<T>::args& a, int first, int count);
  /// Columns [first, first + count), count <= columns(), of one value head of one sequence.
  static void rule(const typename kernels::gated_delta<T>::args& a, int seq, int head, int first, int count);
};

}  // namespace atom::cpu
