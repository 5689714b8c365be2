#pragma once
// linear on GPU backends, bf16, and with float weights for routers: declarations; defined and instantiated in
// src/kernels/gpu/linear.hip and linear_float.hip.
// Weights stay row-major. Up to 16 rows are multiplied while the weights stream by once; more go through the
// vendor's library (atom/gpu/gemm.hpp), or tiles in shared memory.
// Sums are fp32 in an order that depends on the shape alone.
#include "atom/ops/gpu_types.hpp"
#include "atom/ops/linear_op.hpp"

namespace atom {

template <gpu::Activation Y, gpu::Target B> struct impl<kernels::linear<quant::NoAs<bf16>, bf16, Y>, B> {
  static void run(typename B::stream stream, const typename kernels::linear<quant::NoAs<bf16>, bf16, Y>::args& a) noexcept;
};

template <gpu::Target B> struct impl<kernels::linear<quant::NoAs<float>, bf16, float>, B> {
  static void run(typename B::stream stream, const kernels::linear<quant::NoAs<float>, bf16, float>::args& a) noexcept;
};

}  // namespace atom
