#pragma once
// The last pass of a fused kernel that quantises: one row to symmetric int8, exactly as quant::codec<PerToken<int8>> does it.
// One idea: what fits a fixed buffer on the stack is kept between the two passes and the rest computed twice, so no kernel needs
// scratch memory.
#include "simd.hpp"

namespace atom::cpu {

/// value(i, lanes) -> the row's elements i, i + 1 ... as a vector, zero beyond a tail. Returns the scale.
template <class Level, class Value> float quantize_row(int cols, Value value, int8* q) {
  using S = Simd<Level>;
  constexpr int kept = 8192;
  alignas(64) float row[kept];
  auto top = S::zero();
  each<Level>(cols, [&](int i, auto lanes) {
    const auto v = value(i, lanes);
    if (i < kept) S::store(row + i, v);
    top = S::max(S::abs(v), top);  // skips NaN
  });
  const float scale = S::largest(top) / 127.0f;
  const auto divisor = S::set(scale), limit = S::set(127);
  each<Level>(cols, [&](int i, auto lanes) {
    const auto v = i < kept ? S::load(row + i) : value(i, lanes);
    const auto steps = scale > 0 ? S::round(v / divisor) : S::zero();
    S::store(q + i, S::min(S::max(steps, S::zero() - limit), limit), lanes);  // NaN becomes -127
  });
  return scale;
}

}  // namespace atom::cpu
