#pragma once
// rmsnorm and layernorm on the Cpu backend: declarations; defined and instantiated in src/kernels/norm.cpp.
// One idea: the requires-clause lists what is instantiated, so a missing combination is a compile-time sentence, not a link error.
// To extend: another element type or scheme is a term in the clause and an instance at the bottom of norm.cpp.
#include <concepts>

#include "atom/core/backend.hpp"
#include "atom/ops/norm_op.hpp"

namespace atom {

template <kernels::NormFlags F, quant::Scheme Q, class T>
requires(std::same_as<T, float> || std::same_as<T, bf16>) &&
    (std::same_as<Q, quant::Keep> || std::same_as<Q, quant::PerToken<int8>>)struct impl<kernels::rmsnorm<F, Q, T>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::rmsnorm<F, Q, T>::args& a) noexcept;
};

template <class T>
requires(std::same_as<T, float> || std::same_as<T, bf16>) struct impl<kernels::layernorm<T>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::layernorm<T>::args& a) noexcept;
};

}  // namespace atom
