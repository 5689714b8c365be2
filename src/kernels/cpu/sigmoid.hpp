#pragma once
// The sigmoid and silu of one level, as exact as a result of the type behind the pointer deserves.
#include "simd.hpp"

namespace atom::cpu {

/// 1 / (1 + e^-g).
template <class Level> typename Simd<Level>::V sigmoid(typename Simd<Level>::V g, const float*) {
  using S = Simd<Level>;
  return S::set(1) / (S::set(1) + exp<Level>(S::zero() - g));
}

inline constexpr float least_gate = -87;  // e^87 is a float, and its reciprocal is not denormal

/// Relative error 1.5e-4, for g from least_gate on.
template <class Level> typename Simd<Level>::V sigmoid_within(typename Simd<Level>::V g) {
  using S = Simd<Level>;
  constexpr float log2e = 1.44269504f;
  return S::reciprocal_coarse(S::set(1) + exp2_coarse<Level>(g * S::set(-log2e)));
}
/// Relative error 1.5e-4. Below -87 it is that of -87, which is 1.6e-38, and never 0.
template <class Level> typename Simd<Level>::V sigmoid(typename Simd<Level>::V g, const bf16*) {
  return sigmoid_within<Level>(Simd<Level>::max(Simd<Level>::set(least_gate), g));
}

/// g / (1 + e^-g).
template <class Level> typename Simd<Level>::V silu(typename Simd<Level>::V g, const float*) {
  using S = Simd<Level>;
  return g / (S::set(1) + exp<Level>(S::zero() - g));
}
/// Relative error 1.5e-4. Below -87 it is that of -87, which is -1e-36, and never 0.
template <class Level> typename Simd<Level>::V silu(typename Simd<Level>::V g, const bf16*) {
  g = Simd<Level>::max(Simd<Level>::set(least_gate), g);
  return g * sigmoid_within<Level>(g);
}

}  // namespace atom::cpu
