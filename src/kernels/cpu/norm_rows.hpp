#pragma once
// RMSNorm and LayerNorm of one level.
// One idea: sums run in float lanes (as many partial sums as a vector has lanes), the one reciprocal root per row in double.
#include "norm.hpp"
#include "quantize_row.hpp"
#include "sigmoid.hpp"
#include "simd_pair.hpp"

namespace atom::cpu {

template <class Level, class T> [[gnu::flatten]] void Norms<Level, T>::rms(const RmsRows<T>& a, int first, int count) {
  using S = Simd<Level>;
  using P = Pairs<Level, T>;
  for (int r = first; r < first + count; ++r) {
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(r) * a.cols;
    const T* x = a.x ? a.x + static_cast<std::ptrdiff_t>(r) * a.ldx : nullptr;
    T* h = a.residual ? a.residual + at : nullptr;
    auto squares = Pair<Level>::zero();
    if (h && x) {
      each_pair<Level, T>(a.cols, [&](int i, auto lanes) {
        const auto sum = P::load(h + i, lanes) + P::load(x + i, lanes);
        P::store(h + i, sum, lanes);
        const auto v = P::rounded(sum);
        squares = fma(v, v, squares);
      });
      x = h;
    } else {
      if (h) x = h;
      each_pair<Level, T>(a.cols, [&](int i, auto lanes) {
        const auto v = P::load(x + i, lanes);
        squares = fma(v, v, squares);
      });
    }
    const double mean = static_cast<double>(Pair<Level>::sum(squares)) / a.cols;
    const auto inverse = S::set(static_cast<float>(1 / __builtin_sqrt(mean + static_cast<double>(a.eps))));
    const auto normed = [&](int i, auto lanes) {
      const auto v = P::load(x + i, lanes) * inverse;
      return P::load_floats(a.w + i, lanes) * (a.once ? v : P::rounded(v));
    };
    if (a.q) {
      a.scale[r] = quantize_row<Level, T>(
          a.cols, [&](int i, auto lanes) { return P::pack(normed(i, lanes)); }, a.q + at);
      continue;
    }
    T* y = a.y + static_cast<std::ptrdiff_t>(r) * a.width;
    each_pair<Level, T>(a.cols, [&](int i, auto lanes) { P::store(y + i, normed(i, lanes), lanes); });
    if (a.width > a.cols)
      __builtin_memset(static_cast<void*>(y + a.cols), 0, static_cast<std::size_t>(a.width - a.cols) * sizeof(T));
  }
}

template <class Level, class T>
[[gnu::flatten]] void Norms<Level, T>::gated(const typename kernels::gated_rmsnorm<T>::args& a, int first, int count) {
  using S = Simd<Level>;
  using P = Pairs<Level, T>;
  for (int r = first; r < first + count; ++r)
    for (int head = 0; head < a.heads; ++head) {
      const std::ptrdiff_t at = (static_cast<std::ptrdiff_t>(r) * a.heads + head) * a.cols;
      const T* x = a.x + at;
      const T* z = a.z + static_cast<std::ptrdiff_t>(r) * a.ldz + static_cast<std::ptrdiff_t>(head) * a.cols;
      auto squares = Pair<Level>::zero();
      each_pair<Level, T>(a.cols, [&](int i, auto lanes) {
        const auto v = P::load(x + i, lanes);
        squares = fma(v, v, squares);
      });
      const double mean = static_cast<double>(Pair<Level>::sum(squares)) / a.cols;
      const auto inverse = S::set(static_cast<float>(1 / __builtin_sqrt(mean + static_cast<double>(a.eps))));
      each_pair<Level, T>(a.cols, [&](int i, auto lanes) {
        const auto gate = P::load(z + i, lanes);
        const auto weighed = P::rounded(P::load_floats(a.w + i, lanes) * P::rounded(P::load(x + i, lanes) * inverse));
        P::store(a.y + at + i, weighed * Pair<Level>{silu<Level>(gate.even, z), silu<Level>(gate.odd, z)}, lanes);
      });
    }
}

template <class Level, class T>
[[gnu::flatten]] void Norms<Level, T>::layer(const typename kernels::layernorm<T>::args& a, int first, int count) {
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
