#pragma once
// silu_mul on GPU backends: declaration; defined and instantiated in src/kernels/gpu/activation.hip.
#include "atom/ops/activation_op.hpp"
#include "atom/ops/gpu_types.hpp"

namespace atom {

template <gpu::Output Q, gpu::Activation T, gpu::Target B> struct impl<kernels::silu_mul<Q, T>, B> {
  static void run(typename B::stream stream, const typename kernels::silu_mul<Q, T>::args& a) noexcept;
};

}  // namespace atom
