#pragma once
// gate_mul on GPU backends: declaration; defined and instantiated in src/kernels/gpu/activation.hip for activation::Silu, and, not
// quantised, ClampedSwiglu.
#include "atom/ops/activation_op.hpp"
#include "atom/ops/gpu_types.hpp"

namespace atom {

namespace gpu {
template <class A, class Q>
concept Gated = std::same_as<A, activation::Silu> ||(std::same_as<A, activation::ClampedSwiglu>&& std::same_as<Q, quant::Keep>);
}  // namespace gpu

template <class A, gpu::Output Q, gpu::Activation T, gpu::Target B>
requires gpu::Gated<A, Q>
struct impl<kernels::gate_mul<A, Q, T>, B> {
  static void run(typename B::stream stream, const typename kernels::gate_mul<A, Q, T>::args& a) noexcept;
};

}  // namespace atom
