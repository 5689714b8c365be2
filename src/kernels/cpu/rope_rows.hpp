#pragma once
// Rotary embedding of one level, with the RMSNorm of each head in front of it where the model has one.
#include "rope.hpp"
#include "simd.hpp"

namespace atom::cpu {

template <class Level, class T> void Rope<Level, T>::rotate(const RopeRows<T>& a, int first, int count) {
  using S = Simd<Level>;
  const int half = a.rotary_dim / 2;
  for (int r = first; r < first + count; ++r) {
    const float* cos = a.cos_sin + static_cast<std::ptrdiff_t>(a.positions[r]) * a.rotary_dim;
    const float* sin = cos + half;
    for (int h = 0; h < a.heads + a.kv_heads; ++h) {
      T* x = a.qkv + static_cast<std::ptrdiff_t>(r) * a.ld + static_cast<std::ptrdiff_t>(h) * a.d;
      if (a.q_norm) {
        const float* w = h < a.heads ? a.q_norm : a.k_norm;
        auto squares = S::zero();
        each<Level>(a.d, [&](int i, auto lanes) {
          const auto v = S::load(x + i, lanes);
          squares = S::fma(v, v, squares);
        });
        const double mean = static_cast<double>(S::sum(squares)) / a.d;
        const auto inverse = S::set(static_cast<float>(1 / __builtin_sqrt(mean + static_cast<double>(a.eps))));
        each<Level>(a.d, [&](int i, auto lanes) {
          S::store(x + i, S::load(w + i, lanes) * S::rounded(S::load(x + i, lanes) * inverse, x), lanes);
        });
      }
      each<Level>(half, [&](int i, auto lanes) {
        const auto left = S::load(x + i, lanes), right = S::load(x + half + i, lanes);
        const auto c = S::load(cos + i, lanes), s = S::load(sin + i, lanes);
        S::store(x + i, S::negated_fma(right, s, left * c), lanes);
        S::store(x + half + i, S::fma(left, s, right * c), lanes);
      });
    }
  }
}

}  // namespace atom::cpu
