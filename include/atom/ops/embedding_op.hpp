#pragma once
// Embedding lookup and row gathering: the ends of a forward pass. And what it is given and gives back, between host and device.
#include "atom/core/cost.hpp"
#include "atom/core/name.hpp"
#include "atom/core/run.hpp"

namespace atom::kernels {

/// y[r] = table[tokens[r] - first]; rows whose token another rank holds become zero, so that a sum over ranks completes them.
template <class W, class T> struct embed {
  struct args {
    const W* table;     // (vocab, cols): this rank's rows, row-major
    const int* tokens;  // (rows)
    T* y;               // (rows, cols)
    int rows, cols, first, vocab;
  };
  static constexpr Name name() { return {"embed<", type_name<W>, ",", type_name<T>, ">"}; }
  static constexpr Cost cost(const args& a) { return {double(a.rows) * a.cols * (sizeof(W) + sizeof(T)), 0}; }
};

/// y[i] = x[index[i]]: the rows whose logits somebody asked for.
template <class T> struct gather_rows {
  struct args {
    const T* x;        // (any, cols), row stride ldx
    const int* index;  // (rows)
    T* y;              // (rows, cols)
    int rows, cols, ldx;
  };
  static constexpr Name name() { return {"gather_rows<", type_name<T>, ">"}; }
  static constexpr Cost cost(const args& a) { return {2.0 * a.rows * a.cols * sizeof(T), 0}; }
};

/// to[i] = from[i], between pinned memory of the host and memory of a device. A step's tokens come first: those rows that continue
/// what the step before drew get to[r] = drawn[carried[r]]; where carried is negative, the host knew the token.
struct transfer {
  struct args {
    const int* from;  // (n)
    int* to;          // (n)
    int n;
    const int* drawn = nullptr;    // (any)
    const int* carried = nullptr;  // (rows)
    int rows = 0;                  // at most n
  };
  static constexpr Name name() { return {"transfer"}; }
  static constexpr Cost cost(const args& a) { return {(2.0 * a.n + 2.0 * a.rows) * sizeof(int), 0}; }
};

/// y[r] = [left[r] | right[r]].
template <class T> struct join_rows {
  struct args {
    const T* left;   // (rows, cols)
    const T* right;  // (rows, cols)
    T* y;            // (rows, 2 cols)
    int rows, cols;
  };
  static constexpr Name name() { return {"join_rows<", type_name<T>, ">"}; }
  static constexpr Cost cost(const args& a) { return {4.0 * a.rows * a.cols * sizeof(T), 0}; }
};

}  // namespace atom::kernels
