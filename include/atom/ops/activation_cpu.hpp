#pragma once
// gate_mul and sigmoid_gate on the Cpu backend; defined and instantiated in src/kernels/activation.cpp, gate_mul for
// activation::Silu, Gelu and ClampedSwiglu.
#include "atom/core/backend.hpp"
#include "atom/ops/activation_op.hpp"
#include "atom/ops/cpu_types.hpp"

namespace atom {

template <class A, cpu::Output Q, cpu::Activation T> struct impl<kernels::gate_mul<A, Q, T>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::gate_mul<A, Q, T>::args& a) noexcept;
};

template <cpu::Activation T> struct impl<kernels::sigmoid_gate<T>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::sigmoid_gate<T>::args& a) noexcept;
};

}  // namespace atom
