#pragma once
// SiLU * up, and plain quantization, of one level.
#include "activation.hpp"
#include "quantize_row.hpp"
#include "simd.hpp"

namespace atom::cpu {

template <class Level, class T> void Activations<Level, T>::silu_mul(const SiluRows<T>& a, int first, int count) {
  using S = Simd<Level>;
  for (int r = first; r < first + count; ++r) {
    const T* gate = a.gate_up + static_cast<std::ptrdiff_t>(r) * a.ldx;
    const T* up = gate + a.cols;
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(r) * a.cols;
    const auto value = [&](int i, auto lanes) {
      const auto g = S::load(gate + i, lanes);
      const auto silu = S::rounded(g / (S::set(1) + exp_for<Level>(S::zero() - g, gate)), gate);
      return S::rounded(silu * S::load(up + i, lanes), gate);
    };
    if (a.q)
      a.scale[r] = quantize_row<Level>(a.cols, value, a.q + at);
    else
      each<Level>(a.cols, [&](int i, auto lanes) { S::store_rounded(a.y + at + i, value(i, lanes), lanes); });
  }
}

template <class Level, class T> void Activations<Level, T>::quantize(const QuantizeRows<T>& a, int first, int count) {
  for (int r = first; r < first + count; ++r) {
    const T* x = a.x + static_cast<std::ptrdiff_t>(r) * a.ldx;
    const auto value = [x](int i, auto lanes) { return Simd<Level>::load(x + i, lanes); };
    a.scale[r] = quantize_row<Level>(a.cols, value, a.q + static_cast<std::ptrdiff_t>(r) * a.cols);
  }
}

}  // namespace atom::cpu
