#pragma once
// Codecs: how a scheme turns floats into stored elements and back, one scale group at a time.
// One idea: the reference kernels, the loader that quantises a plain checkpoint and the tests share this one definition.
// To extend: specialise codec<Q> with encode() and decode().
#include "atom/quant/scheme.hpp"

namespace atom::quant {

template <class Q> struct codec;

/// The largest |x[i]|, x: (n); a NaN counts as nothing.
inline float absmax(const float* x, int n) {
  float top = 0;
  for (int i = 0; i < n; ++i) {
    const float size = x[i] < 0 ? -x[i] : x[i];
    top = size > top ? size : top;
  }
  return top;
}

/// Symmetric int8: scale = absmax / 127, value = round-half-even(x / scale). An all-zero group gets scale 0 and zeros.
template <> struct codec<PerToken<int8>> {
  static constexpr float largest = 127.0f;

  static float scale_of(const float* x, int n) { return absmax(x, n) / largest; }  // x: (n)
  // Comparisons and sums only, so that compilers make vectors of it: a checkpoint is encoded while somebody waits.
  static int8 encode(float x, float scale) {
    constexpr float whole = 0x1.8p23f;  // the floats around it are whole numbers: adding rounds to them, half to even
    float q = scale > 0 ? x / scale : 0;
    q = q > -largest ? q : -largest;  // so is a NaN
    q = q < largest ? q : largest;
    return static_cast<int8>((q + whole) - whole);
  }
  static float decode(int8 q, float scale) { return static_cast<float>(q) * scale; }
};

/// Symmetric fp8: scale = absmax / 448, value = x / scale rounded to nearest even. An all-zero group gets scale 0 and zeros.
template <> struct codec<PerToken<fp8_e4m3>> {
  static constexpr float largest = 448.0f;

  static float scale_of(const float* x, int n) { return absmax(x, n) / largest; }  // x: (n)
  static fp8_e4m3 encode(float x, float scale) {
    const float q = scale > 0 ? x / scale : 0;
    return fp8_e4m3(q > -largest ? q : -largest);  // so is a NaN
  }
  static float decode(fp8_e4m3 q, float scale) { return static_cast<float>(q) * scale; }
};

}  // namespace atom::quant
