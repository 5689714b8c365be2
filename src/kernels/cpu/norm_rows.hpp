#pragma once
// RMSNorm and LayerNorm of one level.
// One idea: sums run in float lanes (as many partial sums as a vector has lanes), the one reciprocal root per row in double.
#include "norm.hpp"
#include "quantize_row.hpp"
#include "simd.hpp"

namespace atom::cpu {

template <class Level, class T> void Norms<Level, T>::rms(const RmsRows<T>& a, int first, int count) {
  using S = Simd<Level>;
  for (int r = first; r < first + count; ++r) {
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(r) * a.cols;
    const T* x = a.x ? a.x + static_cast<std::ptrdiff_t>(r) * a.ldx : nullptr;
    T* h = a.residual ? a.residual + at : nullptr;
    auto squares = S::zero();
    if (h && x) {
      each<Level>(a.cols, [&](int i, auto lanes) {
        const auto v = S::rounded(S::load(h + i, lanes) + S::load(x + i, lanes), h);
        S::store_rounded(h + i, v, lanes);
        squares = S::fma(v, v, squares);
      });
      x = h;
    } else {
      if (h) x = h;
      each<Level>(a.cols, [&](int i, auto lanes) {
        const auto v = S::load(x + i, lanes);
        squares = S::fma(v, v, squares);
      });
    }
    const double mean = static_cast<double>(S::sum(squares)) / a.cols;
    const auto inverse = S::set(static_cast<float>(1 / __builtin_sqrt(mean + static_cast<double>(a.eps))));
    const auto normed = [&](int i, auto lanes) {
      return S::rounded(S::load(a.w + i, lanes) * S::rounded(S::load(x + i, lanes) * inverse, x), x);
    };
    if (a.q)
      a.scale[r] = quantize_row<Level>(a.cols, normed, a.q + at);
    else
      each<Level>(a.cols, [&](int i, auto lanes) { S::store_rounded(a.y + at + i, normed(i, lanes), lanes); });
  }
}

template <class Level, class T> void Norms<Level, T>::layer(const typename kernels::layernorm<T>::args& a, int first, int count) {
  using S = Simd<Level>;
  for (int r = first; r < first + count; ++r) {
    const T* x = a.x + static_cast<std::ptrdiff_t>(r) * a.cols;
    T* y = a.y + static_cast<std::ptrdiff_t>(r) * a.cols;
    auto total = S::zero(), squares = S::zero();
    each<Level>(a.cols, [&](int i, auto lanes) { total = total + S::load(x + i, lanes); });
    const auto mean = S::set(S::sum(total) / static_cast<float>(a.cols));
    each<Level>(a.cols, [&](int i, auto lanes) {
      const auto v = S::keep(S::load(x + i, lanes) - mean, lanes);
      squares = S::fma(v, v, squares);
    });
    const double variance = static_cast<double>(S::sum(squares)) / a.cols;
    const auto inverse = S::set(static_cast<float>(1 / __builtin_sqrt(variance + static_cast<double>(a.eps))));
    each<Level>(a.cols, [&](int i, auto lanes) {
      const auto b = a.b ? S::load(a.b + i, lanes) : S::zero();
      S::store(y + i, S::fma((S::load(x + i, lanes) - mean) * inverse, S::load(a.w + i, lanes), b), lanes);
    });
  }
}

}  // namespace atom::cpu
