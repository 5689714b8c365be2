#pragma once
// sample on GPU backends: declaration; defined in src/kernels/gpu/sampling.hip.
#include "atom/ops/gpu_types.hpp"
#include "atom/ops/sampling_op.hpp"

namespace atom {

/// `sorted` and `order` are not used: no row is sorted.
template <gpu::Target B> struct impl<kernels::sample, B> {
  static void run(typename B::stream stream, const kernels::sample::args& a) noexcept;
};

}  // namespace atom
