#pragma once
// Tensor<T, Rows, Cols>: a non-owning row-major view with one row stride.
// One idea: an extent known at compile time is an empty type, so static and dynamic shapes are the same text.
// To extend: nothing; tilings inside a kernel are the kernel's own constexpr maps, not tensor types.
#include <cstddef>

namespace atom {

inline constexpr int dynamic = -1;

template <int N> struct Extent {  // known at compile time: occupies nothing
  constexpr Extent(int = N) {}
  constexpr operator int() const { return N; }
};
template <> struct Extent<dynamic> {
  int n = 0;
  constexpr Extent(int v = 0) : n(v) {}
  constexpr operator int() const { return n; }
};

/// Arithmetic on extents in which a `dynamic` operand stays dynamic.
constexpr int mul(int a, int b) { return a == dynamic || b == dynamic ? dynamic : a * b; }
constexpr int add(int a, int b) { return a == dynamic || b == dynamic ? dynamic : a + b; }

template <class T, int Rows = dynamic, int Cols = dynamic> struct Tensor {
  using value_type = T;
  static constexpr int static_rows = Rows, static_cols = Cols;
  T* data = nullptr;  // (rows, cols), row r begins at data + r * stride
  [[no_unique_address]] Extent<Rows> rows{};
  [[no_unique_address]] Extent<Cols> cols{};
  int stride = 0;

  constexpr Tensor() = default;
  constexpr Tensor(T* d, int r, int c) : data(d), rows(r), cols(c), stride(c) {}
  constexpr Tensor(T* d, int r, int c, int s) : data(d), rows(r), cols(c), stride(s) {}
  constexpr T* operator[](int r) const { return data + static_cast<std::ptrdiff_t>(r) * stride; }
};

/// Columns [first, first + n) of x: a view with x's stride.
template <class T, int R, int C> constexpr Tensor<T, R> columns(Tensor<T, R, C> x, int first, int n) {
  return {x.data + first, x.rows, n, x.stride};
}

}  // namespace atom
