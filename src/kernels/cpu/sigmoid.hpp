#pragma once
// The sigmoid and silu of one level, as exact as a result of the type behind the pointer deserves.
#include "simd.hpp"

namespace atom::cpu {

/// 1 / (1 + e^-g).
template <class Level> typename Simd<Level>::V sigmoid(typename Simd<Level>::V g, const float*) {
  using S = Simd<Level>;
  return S::set(1) / (S::set(1) + exp<Level>(S::zero() - g));
}
/// Relative error 2e-5. Below -87 it is that of -87, which is 1.6e-38, and never 0.
template <class Level> typename Simd<Level>::V sigmoid(typename Simd<Level>::V g, const bf16*) {
  using S = Simd<Level>;
  constexpr float least = -87, log2e = 1.44269504f;  // e^87 and e^-87 are floats, and not denormal
  g = S::max(S::set(least), g);
  typename S::V n;
  const auto f = S::split(S::min(S::set(-least), g) * S::set(-log2e), n);
  return S::reciprocal(S::set(1) + S::scale_within(polynomial<Level>(f, S::exp2_coarse_terms), n));
}

/// g / (1 + e^-g).
template <class Level> typename Simd<Level>::V silu(typename Simd<Level>::V g, const float*) {
  using S = Simd<Level>;
  return g / (S::set(1) + exp<Level>(S::zero() - g));
}
/// Relative error 2e-5. Below -87 it is that of -87, which is -1e-36, and never 0.
template <class Level> typename Simd<Level>::V silu(typename Simd<Level>::V g, const bf16* type) {
  using S = Simd<Level>;
  g = S::max(S::set(-87), g);
  return g * sigmoid<Level>(g, type);
}

}  // namespace atom::cpu
