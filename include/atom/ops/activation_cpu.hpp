#pragma once
// gate_mul on the Cpu backend; defined and instantiated in src/kernels/activation.cpp for activation::Silu, Gelu and ClampedSwiglu.
#include "atom/core/backend.hpp"
#include "atom/ops/activation_op.hpp"
#include "atom/ops/cpu_types.hpp"

namespace atom {

template <class A, cpu::Output Q, cpu::Activation T> struct impl<kernels::gate_mul<A, Q, T>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::gate_mul<A, Q, T>::args& a) noexcept;
};

}  // namespace atom
