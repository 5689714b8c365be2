#pragma once
// causal_conv, delta_gates and gated_delta on the Cpu backend: declarations; defined and instantiated in src/kernels/delta_net.cpp.
#include "atom/core/backend.hpp"
#include "atom/ops/cpu_types.hpp"
#include "atom/ops/delta_net_op.hpp"

namespace atom {

template <cpu::Activation T> struct impl<kernels::causal_conv<T>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::causal_conv<T>::args& a) noexcept;
};

template <cpu::Activation T> struct impl<kernels::delta_gates<T>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::delta_gates<T>::args& a) noexcept;
};

template <cpu::Activation T> struct impl<kernels::gated_delta<T>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::gated_delta<T>::args& a) noexcept;
};

}  // namespace atom
