#pragma once
// rope_kv_write and paged_attention on GPU backends: declarations; defined and instantiated in src/kernels/gpu/rope.hip and
// attention.hip. `context` and the other index arrays of a batch lie in the device's memory.
#include "atom/ops/attention_op.hpp"
#include "atom/ops/gpu_types.hpp"

namespace atom {

namespace gpu {
template <int D, kernels::RopeFlags F> inline constexpr bool rotates = is_head_width<D> && !F.once;
}

template <gpu::Activation T, gpu::HeadCacheOf<T> Kv, int D, kernels::RopeFlags F, gpu::Target B>
requires gpu::rotates<D, F>
struct impl<kernels::rope_kv_write<T, Kv, D, F>, B> {
  static void run(typename B::stream stream, const typename kernels::rope_kv_write<T, Kv, D, F>::args& a) noexcept;
};
template <gpu::Activation T, gpu::HeadCacheOf<T> Kv, int D, kernels::RopeFlags F, gpu::Target B>
requires gpu::rotates<D, F>
inline constexpr bool joins<kernels::rope_kv_write<T, Kv, D, F>, B> = true;

/// bf16: prompts in tiles over the matrix unit; a lone row's context is split over blocks where there are partials, into chunks
/// that its length alone decides. Codes of a quantised cache become bf16 on their way to shared memory. Queries whose rows are not
/// aligned to 16 bytes, and floats: a block per row.
template <gpu::Activation T, gpu::HeadCacheOf<T> Kv, int D, gpu::Target B>
requires gpu::is_head_width<D>
struct impl<kernels::paged_attention<T, Kv, D>, B> {
  static constexpr bool splits = std::same_as<T, bf16>;
  static void run(typename B::stream stream, const kernels::AttentionArgs<T, Kv>& a) noexcept;
};
/// The same kernels: a window and sinks are in the args.
template <gpu::Activation T, gpu::HeadCacheOf<T> Kv, int D, kernels::AttnFlags F, gpu::Target B>
requires gpu::is_head_width<D>
struct impl<kernels::paged_attention<T, Kv, D, F>, B> : impl<kernels::paged_attention<T, Kv, D>, B> {
};

}  // namespace atom
