#pragma once
// The last pass of a fused kernel that quantises: one row to symmetric int8, exactly as quant::codec<PerToken<int8>> does it.
// One idea: what fits a fixed buffer on the stack is kept between the two passes and the rest computed twice, so no kernel needs
// scratch memory.
#include "simd_pair.hpp"

namespace atom::cpu {

/// value(i, lanes) -> the row's elements i, i + 1 ..., numbers of type T, as a pair; zero beyond a tail. Returns the scale.
template <class Level, class T, class Value> float quantize_row(int cols, Value value, int8* q) {
  using S = Simd<Level>;
  using P = Pairs<Level, T>;
  constexpr int kept = 8192;
  alignas(64) float row[kept];
  auto top = S::zero();
  each_pair<Level, T>(cols, [&](int i, auto lanes) {
    const auto v = value(i, lanes);
    if (i < kept) P::store_in_order(row + i, v);
    top = S::max(S::abs(v.odd), S::max(S::abs(v.even), top));  // skips NaN
  });
  const float scale = S::largest(top) / 127.0f;
  const auto divisor = S::set(scale), limit = S::set(127);
  const auto encode = [&](auto quotient) {
    const auto code = [&](auto v) { return S::min(S::max(S::round(quotient(v)), S::zero() - limit), limit); };  // NaN becomes -127
    each_pair<Level, T>(cols, [&](int i, auto lanes) {
      const auto v = i < kept ? P::in_order(row + i) : value(i, lanes);
      P::store(q + i, {code(v.even), code(v.odd)}, lanes);
    });
  };
  if (P::has_short_fractions && scale > 0x1p-100f && scale < 0x1p100f) {
    const auto inverse = S::set(1 / scale);
    encode([&](auto v) {  // corrected once this is v / divisor to the last bit: tried for all fractions of both
      const auto near = v * inverse;
      return S::fma(S::negated_fma(near, divisor, v), inverse, near);
    });
  } else if (scale > 0) {
    encode([&](auto v) { return v / divisor; });
  } else {
    encode([](auto) { return S::zero(); });
  }
  return scale;
}

}  // namespace atom::cpu
