#pragma once
// act(gate) * up, and plain quantization, of one level.
#include "activation.hpp"
#include "quantize_row.hpp"
#include "sigmoid.hpp"
#include "simd_pair.hpp"

namespace atom::cpu {

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
      __builtin_prefetch(gate + a.ldx + i);
      __builtin_prefetch(up + a.ldx + i);
      const auto g = P::load(gate + i, lanes);
      const auto u = P::load(up + i, lanes);
      if constexpr (std::is_same_v<A, activation::Silu>) {
        return P::near({silu<Level>(g.even, gate), silu<Level>(g.odd, gate)}) * u;
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
          a.cols, [&](int i, auto lanes) { return P::pack(value(i, lanes)); }, a.q + at);
    else
      each_pair<Level, T>(a.cols, [&](int i, auto lanes) { P::store(a.y + at + i, value(i, lanes), lanes); });
  }
}

template <class Level, class T>
[[gnu::flatten]] void Activations<Level, T>::sigmoid_gate(const typename kernels::sigmoid_gate<T>::args& a, int first, int count) {
  using P = Pairs<Level, T>;
  const auto open = [](Pair<Level> g) {
    return P::near({sigmoid<Level>(g.even, static_cast<const T*>(nullptr)), sigmoid<Level>(g.odd, static_cast<const T*>(nullptr))});
  };
  const int each = a.cols / a.gates;
  for (int r = first; r < first + count; ++r) {
    T* x = a.x + static_cast<std::ptrdiff_t>(r) * a.ldx;
    const T* gate = a.gate + static_cast<std::ptrdiff_t>(r) * a.ldg;
    if (each == 1) {
      each_pair<Level, T>(
          a.cols, [&](int i, auto lanes) { P::store(x + i, P::load(x + i, lanes) * open(P::load(gate + i, lanes)), lanes); });
      continue;
    }
    for (int g = 0; g < a.gates; ++g, x += each) {
      const auto by = Simd<Level>::set(Simd<Level>::first(open(P::load(gate + g, P::tail(1))).even));
      each_pair<Level, T>(each, [&](int i, auto lanes) { P::store(x + i, P::load(x + i, lanes) * by, lanes); });
    }
  }
}

template <class Level, class T>
[[gnu::flatten]] void Activations<Level, T>::quantize(const QuantizeRows<T>& a, int first, int count) {
  for (int r = first; r < first + count; ++r) {
    const T* x = a.x + static_cast<std::ptrdiff_t>(r) * a.ldx;
    const auto value = [x](int i, auto lanes) { return Pairs<Level, T>::load_packed(x + i, lanes); };
    a.scale[r] = quantize_row<Level, T>(a.cols, value, a.q + static_cast<std::ptrdiff_t>(r) * a.cols);
  }
}

}  // namespace atom::cpu
