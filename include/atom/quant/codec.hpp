#pragma once
// Codecs: how a scheme turns floats into stored elements and back, one scale group at a time.
// One idea: the reference kernels, the loader that quantises a plain checkpoint and the tests share this one definition.
// To extend: specialise codec<Q> with encode() and decode().
#include <cmath>

#include "atom/quant/scheme.hpp"

namespace atom::quant {

template <class Q> struct codec;

/// Symmetric int8: scale = absmax / 127, value = round-half-even(x / scale). An all-zero group gets scale 0 and zeros.
template <> struct codec<PerToken<int8>> {
  static constexpr float largest = 127.0f;

  static float scale_of(const float* x, int n) {  // x: (n)
    float top = 0;
    for (int i = 0; i < n; ++i) top = std::fmax(top, std::fabs(x[i]));
    return top / largest;
  }
  static int8 encode(float x, float scale) {
    const float q = scale > 0 ? std::nearbyint(x / scale) : 0.0f;
    return static_cast<int8>(std::fmin(std::fmax(q, -largest), largest));
  }
  static float decode(int8 q, float scale) { return static_cast<float>(q) * scale; }
};

}  // namespace atom::quant
