#pragma once
// Element conversions of one level.
#include "convert.hpp"
#include "simd.hpp"

namespace atom::cpu {

template <class Level, class From, class To> void Convert<Level, From, To>::row(const From* from, To* to, int n) {
  using S = Simd<Level>;
  each<Level>(n, [&](int i, auto lanes) { S::store(to + i, S::load(from + i, lanes), lanes); });
}

}  // namespace atom::cpu
