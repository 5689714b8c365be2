#pragma once
// rmsnorm, gated_rmsnorm and layernorm on the Cpu backend: declarations; defined and instantiated in src/kernels/norm.cpp.
#include "atom/core/backend.hpp"
#include "atom/ops/cpu_types.hpp"
#include "atom/ops/norm_op.hpp"

namespace atom {

template <kernels::NormFlags F, cpu::Output Q, cpu::Activation T> struct impl<kernels::rmsnorm<F, Q, T>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::rmsnorm<F, Q, T>::args& a) noexcept;
};

template <cpu::Activation T> struct impl<kernels::gated_rmsnorm<T>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::gated_rmsnorm<T>::args& a) noexcept;
};

template <cpu::Activation T> struct impl<kernels::layernorm<T>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::layernorm<T>::args& a) noexcept;
};

}  // namespace atom
