#pragma once
// silu_mul on the Cpu backend: declaration; defined and instantiated in src/kernels/activation.cpp.
// To extend: another element type or scheme is a term in the clause and an instance at the bottom of activation.cpp.
#include <concepts>

#include "atom/core/backend.hpp"
#include "atom/ops/activation_op.hpp"

namespace atom {

template <quant::Scheme Q, class T>
requires(std::same_as<T, float> || std::same_as<T, bf16>) &&
    (std::same_as<Q, quant::Keep> || std::same_as<Q, quant::PerToken<int8>>)struct impl<kernels::silu_mul<Q, T>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::silu_mul<Q, T>::args& a) noexcept;
};

}  // namespace atom
