#pragma once
// Element conversions of one level.
#include <type_traits>

#include "convert.hpp"
#include "simd.hpp"

namespace atom::cpu {

template <class Level, class From, class To> void Convert<Level, From, To>::row(const From* from, To* to, int n) {
  using S = Simd<Level>;
  each<Level>(n, [&](int i, auto lanes) { S::store(to + i, S::load(from + i, lanes), lanes); });
}

template <class Level, class From, class To> float Quantize<Level, From, To>::row(const From* from, To* to, int n) {
  using S = Simd<Level>;
  constexpr bool whole = std::is_same_v<To, int8>;
  constexpr float largest = whole ? 127.0f : 448.0f;
  auto top = S::zero();
  for (int i = 0; i < n; i += S::width) top = S::max(S::abs(S::load(from + i)), top);  // skips NaN
  const float scale = S::largest(top) / largest;
  const auto limit = S::set(largest), divisor = S::set(scale);
  for (int i = 0; i < n; i += S::width) {
    auto q = scale > 0 ? S::load(from + i) / divisor : S::zero();
    if constexpr (whole) q = S::round(q);
    S::store(to + i, S::min(S::max(q, S::zero() - limit), limit));  // NaN becomes the lowest
  }
  return scale;
}

}  // namespace atom::cpu
