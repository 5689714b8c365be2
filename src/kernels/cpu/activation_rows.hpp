#pragma once
// act(gate) * up, and plain quantization, of one level.
#include "activation.hpp"
#include "quantize_row.hpp"
#include "simd_pair.hpp"

namespace atom::cpu {

/// g / (1 + e^-g), as exact as a result of type T deserves.
template <class Level> typename Simd<Level>::V silu(typename Simd<Level>::V g, const float*) {
  using S = Simd<Level>;
  return g / (S::set(1) + exp<Level>(S::zero() - g));
}
/// Relative error 2e-5. Below -87 it is that of -87, which is -1e-36, and never 0.
template <class Level> typename Simd<Level>::V silu(typename Simd<Level>::V g, const bf16*) {
  using S = Simd<Level>;
  constexpr float least = -87, log2e = 1.44269504f;  // e^87 and e^-87 are floats, and not denormal
  g = S::max(S::set(least), g);
  typename S::V n;
  const auto f = S::split(S::min(S::set(-least), g) * S::set(-log2e), n);
  return g * S::reciprocal(S::set(1) + S::scale_within(polynomial<Level>(f, S::exp2_coarse_terms), n));
}

template <class Level, class T>
template <class A>
[[gnu::flatten]] void Activations<Level, T>::gate_mul(const GateRows<T>& a, int first, int count) {
  using S = Simd<Level>;
  using P = Pairs<Level, T>;
  for (int r = first; r < first + count; ++r) {
    const T* gate = a.gate_up + static_cast<std::ptrdiff_t>(r) * a.ldx;
    const T* up = gate + a.cols;
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(r) * a.cols;
    const auto value = [&](int i, auto lanes) {
      const auto g = P::load(gate + i, lanes);
      const auto u = P::load(up + i, lanes);
      if constexpr (std::is_same_v<A, activation::Silu>) {
        return P::rounded({silu<Level>(g.even, gate), silu<Level>(g.odd, gate)}) * u;
      } else {
        const auto one = [gate](auto x, auto y) {
          const auto limit = S::set(A::limit), slope = S::set(A::slope);
          const auto scaled = S::max(S::set(-1e38f), slope * S::min(limit, x));  // not -inf, which over inf is NaN
          return silu<Level>(scaled, gate) * S::set(1 / A::slope) * (S::max(S::set(-A::limit), S::min(limit, y)) + S::set(1));
        };
        return Pair<Level>{one(g.even, u.even), one(g.odd, u.odd)};
      }
    };
    if (a.q)
      a.scale[r] = quantize_row<Level, T>(
          a.cols, [&](int i, auto lanes) { return P::rounded(value(i, lanes)); }, a.q + at);
    else
      each_pair<Level, T>(a.cols, [&](int i, auto lanes) { P::store(a.y + at + i, value(i, lanes), lanes); });
  }
}

template <class Level, class T>
[[gnu::flatten]] void Activations<Level, T>::quantize(const QuantizeRows<T>& a, int first, int count) {
  for (int r = first; r < first + count; ++r) {
    const T* x = a.x + static_cast<std::ptrdiff_t>(r) * a.ldx;
    const auto value = [x](int i, auto lanes) { return Pairs<Level, T>::load(x + i, lanes); };
    a.scale[r] = quantize_row<Level, T>(a.cols, value, a.q + static_cast<std::ptrdiff_t>(r) * a.cols);
  }
}

}  // namespace atom::cpu
