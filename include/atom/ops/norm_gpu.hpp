#pragma once
// rmsnorm on GPU backends: declaration; defined and instantiated in src/kernels/gpu/norm.hip.
#include "atom/ops/gpu_types.hpp"
#include "atom/ops/norm_op.hpp"

namespace atom {

namespace gpu {
/// Rounded once: what GPT-OSS has in front of its layers. Never padded: the matrix kernels take rows of any length.
template <kernels::NormFlags F, class Q, class T>
concept NormOf =
    Output<Q> && Activation<T> && !F.padded && (!F.once || (F.residual && std::same_as<Q, quant::Keep> && std::same_as<T, bf16>));
}  // namespace gpu

template <kernels::NormFlags F, class Q, class T, gpu::Target B>
requires gpu::NormOf<F, Q, T>
struct impl<kernels::rmsnorm<F, Q, T>, B> {
  static void run(typename B::stream stream, const typename kernels::rmsnorm<F, Q, T>::args& a) noexcept;
};

}  // namespace atom
