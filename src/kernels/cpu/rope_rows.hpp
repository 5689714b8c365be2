#pragma once
// Rotary embedding of one level, with the RMSNorm of each head in front of it where the model has one.
// One idea: the roots of several heads first, so that their long latencies overlap; then norm and rotation in registers.
#include "rope.hpp"
#include "simd_pair.hpp"

namespace atom::cpu {

template <class Level, class T> [[gnu::flatten]] void Rope<Level, T>::rotate(const RopeRows<T>& a, int first, int count) {
  using S = Simd<Level>;
  using P = Pairs<Level, T>;
  using Floats = float[widest_head];
  struct Weights {
    alignas(64) Floats left, right, rest;
  };
  const int half = a.rotary_dim / 2, rest = a.d - 2 * half, heads = a.heads + a.kv_heads;
  const auto sort = [](const float* from, int n, Floats& to) {
    each_pair<Level, T>(n, [&](int i, auto lanes) { P::store_in_order(to + i, P::load_floats(from + i, lanes)); });
  };
  Weights q_weights, k_weights;
  const auto sort_weights = [&](const float* from, Weights& to) {
    sort(from, half, to.left);
    sort(from + half, half, to.right);
    sort(from + 2 * half, rest, to.rest);
  };
  if (a.q_norm) {
    sort_weights(a.q_norm, q_weights);
    sort_weights(a.k_norm, k_weights);
  }
  alignas(64) Floats cos, sin;
  for (int r = first; r < first + count; ++r) {
    const float* angles = a.cos_sin + static_cast<std::ptrdiff_t>(a.positions[r]) * a.rotary_dim;
    sort(angles, half, cos);
    sort(angles + half, half, sin);
    T* const row = a.qkv + static_cast<std::ptrdiff_t>(r) * a.ld;
    const auto turn = [&](int h, auto weigh_left, auto weigh_right) {
      T* const x = row + static_cast<std::ptrdiff_t>(h) * a.d;
      each_pair<Level, T>(half, [&](int i, auto lanes) {
        const auto left = weigh_left(P::load(x + i, lanes), i), right = weigh_right(P::load(x + half + i, lanes), i);
        const auto c = P::in_order(cos + i), s = P::in_order(sin + i);
        P::store(x + i, negated_fma(right, s, left * c), lanes);
        P::store(x + half + i, fma(left, s, right * c), lanes);
      });
    };
    if (!a.q_norm) {
      const auto as_is = [](auto v, int) { return v; };
      for (int h = 0; h < heads; ++h) turn(h, as_is, as_is);
      continue;
    }
    constexpr int batch = 8;
    for (int begin = 0; begin < heads; begin += batch) {
      const int end = heads - begin < batch ? heads : begin + batch;
      float inverse[batch];
      for (int h = begin; h < end; ++h) {
        auto squares = Pair<Level>::zero();
        each_pair<Level, T>(a.d, [&](int i, auto lanes) {
          const T* const at = row + static_cast<std::ptrdiff_t>(h) * a.d + i;
          __builtin_prefetch(at + a.ld, 1);
          const auto v = P::load(at, lanes);
          squares = fma(v, v, squares);
        });
        const double mean = static_cast<double>(Pair<Level>::sum(squares)) / a.d;
        inverse[h - begin] = static_cast<float>(1 / __builtin_sqrt(mean + static_cast<double>(a.eps)));
      }
      for (int h = begin; h < end; ++h) {
        const Weights& w = h < a.heads ? q_weights : k_weights;
        const auto scale = S::set(inverse[h - begin]);
        const auto weigh = [scale, once = a.once](const Floats& by) {
          return [&by, scale, once](auto v, int i) {
            const auto normed = v * scale;
            return P::rounded(P::in_order(by + i) * (once ? normed : P::rounded(normed)));
          };
        };
        turn(h, weigh(w.left), weigh(w.right));
        T* const tail = row + static_cast<std::ptrdiff_t>(h) * a.d + 2 * half;
        each_pair<Level, T>(rest,
                            [&](int i, auto lanes) { P::store(tail + i, weigh(w.rest)(P::load(tail + i, lanes), i), lanes); });
      }
    }
  }
}

}  // namespace atom::cpu
