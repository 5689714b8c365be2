#pragma once
// Element conversions of the Cpu backend: what embedding lookup and cache writes are made of.
#include "atom/core/dtype.hpp"

#include "levels.hpp"

namespace atom::cpu {

/// to[i] = To(from[i]), i in [0, n).
template <class Level, class From, class To> struct Convert { static void row(const From* from, To* to, int n); };

/// One row exactly as quant::codec<PerToken<To>> does it; n a multiple of 16. Returns the scale.
template <class Level, class From, class To> struct Quantize { static float row(const From* from, To* to, int n); };

}  // namespace atom::cpu
