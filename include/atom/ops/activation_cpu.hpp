#pragma once
// silu_mul on the Cpu backend: declaration; defined and instantiated in src/kernels/activation.cpp.
#include "atom/core/backend.hpp"
#include "atom/ops/activation_op.hpp"
#include "atom/ops/cpu_types.hpp"

namespace atom {

template <cpu::Output Q, cpu::Activation T> struct impl<kernels::silu_mul<Q, T>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::silu_mul<Q, T>::args& a) noexcept;
};

}  // namespace atom
