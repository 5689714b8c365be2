#pragma once
// The last pass of a fused kernel that quantises: one row to symmetric int8, exactly as quant::codec<PerToken<int8>> does it.
// One idea: what fits a fixed buffer on the stack is kept between the two passes, as narrow as its type, and the rest computed
// twice, so no kernel needs scratch memory.
#include "simd_pair.hpp"

namespace atom::cpu {

/// value(i, lanes) -> the row's elements i, i + 1 ... as a packed pair; zero beyond a tail. Returns the scale.
template <class Level, class T, class Value> float quantize_row(int cols, Value value, int8* q) {
  using S = Simd<Level>;
  using P = Pairs<Level, T>;
  constexpr int kept = (32 << 10) / static_cast<int>(sizeof(T));
  typename P::Packed row[kept / P::width];
  auto magnitudes = P::nothing();
  each_pair<Level, T>(cols, [&](int i, auto lanes) {
    const auto v = value(i, lanes);
    if (i < kept) row[i / P::width] = v;
    magnitudes = P::larger(magnitudes, v);
  });
  const auto each_value = [&](auto step) {
    each_pair<Level, T>(cols,
                        [&](int i, auto lanes) { step(i, P::unpack(i < kept ? row[i / P::width] : value(i, lanes)), lanes); });
  };
  float scale = P::largest(magnitudes) / 127.0f;
  const auto encode = [&](auto code) {
    each_value([&](int i, auto v, auto lanes) { P::store(q + i, {code(v.even), code(v.odd)}, lanes); });
  };
  if (scale > 0x1p-100f && scale < 0x1p100f) {  // so there is no NaN, and no quotient beyond 127
    const float inverse = 1 / scale, rest = __builtin_fmaf(-inverse, scale, 1) / scale;  // together 1 / scale to 48 bits
    const auto divisor = S::set(scale), high = S::set(inverse), low = S::set(rest);
    encode([&](auto v) {
      if constexpr (P::has_short_fractions)
        return S::fma(v, high, v * low);  // v / scale to the last bit: tried for every fraction of v and of the largest value
      else
        return v / divisor;
    });
    return scale;
  }
  auto top = S::zero();
  each_value([&](int, auto v, auto) { top = S::max(S::abs(v.odd), S::max(S::abs(v.even), top)); });  // skips NaN
  scale = S::largest(top) / 127.0f;
  const auto divisor = S::set(scale), limit = S::set(scale > 0 ? 127 : 0);
  encode([&](auto v) { return S::min(S::max(S::round(v / divisor), S::zero() - limit), limit); });  // NaN becomes -limit
  return scale;
}

}  // namespace atom::cpu
