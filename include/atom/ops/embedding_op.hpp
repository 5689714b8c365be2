#pragma once
// Embedding lookup and row gathering: the ends of a forward pass.
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

/// tokens[r] = drawn[from[r]]: rows that continue what the step before drew; where from is negative the token stays.
struct carry_tokens {
  struct args {
    const int* drawn;  // (any)
    const int* from;   // (rows)
    int* tokens;       // (rows)
    int rows;
  };
  static constexpr Name name() { return {"carry_tokens"}; }
  static constexpr Cost cost(const args& a) { return {3.0 * a.rows * sizeof(int), 0}; }
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
