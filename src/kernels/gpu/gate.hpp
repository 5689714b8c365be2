#pragma once
// What gate and up become, on a device: beside each activation's own arithmetic for hosts (atom/ops/activation_op.hpp).
#include "atom/gpu/port.hpp"
#include "atom/ops/activation_op.hpp"

namespace atom::gpu {

template <class T> ATOM_DEVICE float gated(activation::Silu, float gate, float up) {
  return static_cast<float>(T(gate / (1 + exp(-gate)))) * up;
}
template <class T> ATOM_DEVICE float gated(activation::ClampedSwiglu, float gate, float up) {
  constexpr float limit = activation::ClampedSwiglu::limit, slope = activation::ClampedSwiglu::slope;
  const float g = gate > limit ? limit : gate, u = up > limit ? limit : up < -limit ? -limit : up;
  return g / (1 + exp(-slope * g)) * (u + 1);
}

}  // namespace atom::gpu
