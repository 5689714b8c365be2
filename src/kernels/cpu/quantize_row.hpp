#pragma once
// The last pass of a fused kernel that quantises: one row to symmetric int8, exactly as quant::codec<PerToken<int8>> does it.
// One idea: the row is computed twice rather than kept, so no kernel needs scratch memory.
#include "simd.hpp"

namespace atom::cpu {

/// value(i, lanes) -> the row's elements i, i + 1 ... as a vector, zero beyond a tail. Returns the scale.
template <class Level, class Value> float quantize_row(int cols, Value value, int8* q) {
  using S = Simd<Level>;
  auto top = S::zero();
  each<Level>(cols, [&](int i, auto lanes) { top = S::max(S::abs(value(i, lanes)), top); });  // skips NaN
  const float scale = S::largest(top) / 127.0f;
  const auto divisor = S::set(scale), limit = S::set(127);
  each<Level>(cols, [&](int i, auto lanes) {
    const auto steps = scale > 0 ? S::round(value(i, lanes) / divisor) : S::zero();
    S::store(q + i, S::min(S::max(steps, S::zero() - limit), limit), lanes);  // NaN becomes -127
  });
  return scale;
}

}  // namespace atom::cpu
