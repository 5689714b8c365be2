#pragma once
// rmsnorm on GPU backends: declaration; defined and instantiated in src/kernels/gpu/norm.hip.
#include "atom/ops/gpu_types.hpp"
#include "atom/ops/norm_op.hpp"

namespace atom {

template <kernels::NormFlags F, gpu::Output Q, gpu::Activation T, gpu::Target B>
requires(!F.once) struct impl<kernels::rmsnorm<F, Q, T>, B> {
  static void run(typename B::stream stream, const typename kernels::rmsnorm<F, Q, T>::args& a) noexcept;
};

}  // namespace atom
