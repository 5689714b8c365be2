#pragma once
// What attention kernels over the matrix unit share: the online softmax of scores in registers, and the products around it.
// One idea: queries are the carried operand (atom/gpu/mma.hpp), so a lane keeps its queries from q · kᵀ through the softmax to
// P · v, and scores become probabilities where they lie. Scores are kept as powers of two.
#include <cmath>

#include "atom/gpu/async.hpp"
#include "atom/gpu/mma.hpp"
#include "atom/ops/attention_op.hpp"

#include "rows.hpp"

namespace atom::gpu {

inline constexpr float log2e = 1.44269504f;

/// What a head's sink adds to a sum of powers of two against `top`.
ATOM_DEVICE float sink_share(const float* sinks, int head, float top) {
  return sinks ? fast_exp2(sinks[head] * log2e - top) : 0.0f;
}

/// The first position that the row at `position` sees.
ATOM_DEVICE int first_visible(int position, int window) { return window > 0 ? max(0, position - window + 1) : 0; }

/// The softmax of the queries that a lane has in 16 rows: their highest score so far, and its part of the sum.
template <int W> struct Softmax {
  using T = Tile<W>;
  float top[T::rows], sum[T::rows];

  ATOM_DEVICE Softmax() { ATOM_UNROLL for (int r = 0; r < T::rows; ++r) top[r] = -INFINITY, sum[r] = 0; }

  /// Scores become probabilities against the highest so far; what `o` holds is brought to that. `scale` is positive.
  template <class Cta, int Keys, int Channels>
  ATOM_DEVICE void add(Cta& cta, FragOut<W> (&score)[Keys], FragOut<W> (&o)[Channels], float scale) {
    float higher[T::rows], keep[T::rows], base[T::rows];
    bool grew = false;
    ATOM_UNROLL for (int r = 0; r < T::rows; ++r) higher[r] = -INFINITY;
    ATOM_UNROLL for (int t = 0; t < Keys; ++t) ATOM_UNROLL for (int i = 0; i < T::n; ++i) {
      float& high = higher[T::a_row(i)];
      high = max(high, score[t].v[i]);
    }
    ATOM_UNROLL for (int r = 0; r < T::rows; ++r) {
      higher[r] = max(higher[r], cta.shfl_xor(higher[r], T::next_group));
      higher[r] = max(max(higher[r], cta.shfl_xor(higher[r], 2 * T::next_group)) * scale, top[r]);
      base[r] = higher[r] == -INFINITY ? 0.0f : higher[r];  // nothing visible yet
      keep[r] = fast_exp2(top[r] - base[r]);
      grew = grew || higher[r] > top[r];
      top[r] = higher[r];
      sum[r] *= keep[r];
    }
    ATOM_UNROLL for (int t = 0; t < Keys; ++t) ATOM_UNROLL for (int i = 0; i < T::n; ++i) {
      const float p = fast_exp2(score[t].v[i] * scale - base[T::a_row(i)]);
      score[t].v[i] = p;
      sum[T::a_row(i)] += p;
    }
    if (cta.ballot(grew) != 0)
      ATOM_UNROLL for (int c = 0; c < Channels; ++c) ATOM_UNROLL for (int i = 0; i < T::n; ++i) o[c].v[i] *= keep[T::a_row(i)];
  }

  /// Every lane of a query gets its whole sum.
  template <class Cta> ATOM_DEVICE void finish(Cta& cta) {
    ATOM_UNROLL for (int r = 0; r < T::rows; ++r) {
      sum[r] += cta.shfl_xor(sum[r], T::next_group);
      sum[r] += cta.shfl_xor(sum[r], 2 * T::next_group);
    }
  }
};

/// A row of a cache of codes.
template <class E> struct CodedRow {
  const E *codes, *scale;  // the scale is a float
  bool exists;
};
/// Rows of such a cache as rows of a tile: what codes stand for, rounded to bf16; zeros where there is no row. `me`: which of so
/// many threads this is. All loads are on their way before the first is waited for.
template <class E, int D, int Rows, int Threads, class S, class Where>
ATOM_DEVICE void decode_rows(S& to, int first, unsigned me, Where where) {
  constexpr int N = min(16, Rows * D / Threads), vectors = D / N, stride = Threads / vectors, each = Rows / stride;
  static_assert(each * stride == Rows && stride * vectors == Threads && N % 8 == 0);
  const int row0 = static_cast<int>(me / vectors), column = static_cast<int>(me % vectors) * N;
  vec<E, N> codes[each];
  float scale[each];
  ATOM_UNROLL for (int i = 0; i < each; ++i) {
    const CodedRow<E> row = where(row0 + i * stride);
    codes[i] = {};
    scale[i] = 0;
    if (row.exists) {
      codes[i] = load<N>(row.codes + column);
      scale[i] = *reinterpret_cast<const float*>(row.scale);
    }
  }
  ATOM_UNROLL for (int i = 0; i < each; ++i) ATOM_UNROLL for (int c = 0; c < N; c += 8) {
    vec<float, 8> x;
    ATOM_UNROLL for (int j = 0; j < 8; ++j) x.v[j] = number(codes[i].v[c + j]) * scale[i];
    to.template store<8>(first + row0 + i * stride, column + c, rounded(x));
  }
}

/// The last sequence that begins at or before the row; those without rows begin where the next one does.
ATOM_DEVICE int sequence_of(int row, const int* first_row, int seqs) {
  if (row < seqs && first_row[row] == row && first_row[row + 1] == row + 1) return row;  // a row each
  int low = 0, high = seqs - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (first_row[middle] <= row)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

}  // namespace atom::gpu
