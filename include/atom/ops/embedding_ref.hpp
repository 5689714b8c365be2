#pragma once
// Reference: embed, gather_rows, transfer and join_rows.
#include "atom/core/backend.hpp"
#include "atom/ops/embedding_op.hpp"

namespace atom {

template <class W, class T> struct impl<kernels::embed<W, T>, Ref> {
  static void run(Ref::stream, const typename kernels::embed<W, T>::args& a) noexcept {
    for (int r = 0; r < a.rows; ++r) {
      const int row = a.tokens[r] - a.first;
      T* y = a.y + static_cast<std::ptrdiff_t>(r) * a.cols;
      const bool here = row >= 0 && row < a.vocab;
      for (int c = 0; c < a.cols; ++c)
        y[c] = here ? T(static_cast<float>(a.table[static_cast<std::ptrdiff_t>(row) * a.cols + c])) : T(0.0f);
    }
  }
};

template <class T> struct impl<kernels::gather_rows<T>, Ref> {
  static void run(Ref::stream, const typename kernels::gather_rows<T>::args& a) noexcept {
    for (int r = 0; r < a.rows; ++r)
      for (int c = 0; c < a.cols; ++c)
        a.y[static_cast<std::ptrdiff_t>(r) * a.cols + c] = a.x[static_cast<std::ptrdiff_t>(a.index[r]) * a.ldx + c];
  }
};

template <> struct impl<kernels::transfer, Ref> {
  static void run(Ref::stream, const kernels::transfer::args& a) noexcept {
    for (int i = 0; i < a.n; ++i) a.to[i] = a.from[i];
    for (int r = 0; r < a.rows; ++r)
      if (a.carried[r] >= 0) a.to[r] = a.drawn[a.carried[r]];
  }
};

template <class T> struct impl<kernels::join_rows<T>, Ref> {
  static void run(Ref::stream, const typename kernels::join_rows<T>::args& a) noexcept {
    for (int r = 0; r < a.rows; ++r)
      for (int c = 0; c < a.cols; ++c) {
        const std::ptrdiff_t from = static_cast<std::ptrdiff_t>(r) * a.cols, to = 2 * from;
        a.y[to + c] = a.left[from + c];
        a.y[to + a.cols + c] = a.right[from + c];
      }
  }
};

}  // namespace atom
