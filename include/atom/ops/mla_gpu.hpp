#pragma once
// Multi-head latent attention on GPU backends: declarations; defined and instantiated in src/kernels/gpu/mla.hip. Index arrays of a
// batch lie in the device's memory.
// To extend: other widths are a line of is_latent and their instances at the bottom of that file.
#include <cstddef>

#include "atom/ops/gpu_types.hpp"
#include "atom/ops/mla_op.hpp"

namespace atom {

namespace gpu {
/// DeepSeek's widths, and small ones for tests.
template <int C, int R, int N, int V>
inline constexpr bool is_latent = (C == 512 && R == 64 && N == 128 && V == 128) || (C == 128 && R == 32 && N == 64 && V == 64);
}  // namespace gpu

template <gpu::Activation T, gpu::Target B> struct impl<kernels::rope_pairs<T>, B> {
  static void run(typename B::stream stream, const typename kernels::rope_pairs<T>::args& a) noexcept;
};

template <gpu::Activation T, gpu::CacheOf<T> Kv, int C, int R, gpu::Target B> struct impl<kernels::latent_write<T, Kv, C, R>, B> {
  static void run(typename B::stream stream, const typename kernels::latent_write<T, Kv, C, R>::args& a) noexcept;
};

/// bf16, in the absorbed form for any number of rows. The context of a lone row is split over blocks, into chunks that its length
/// alone decides. q, w and o are aligned to 16 bytes, and so are their rows.
template <int C, int R, int N, int V, gpu::Target B>
requires gpu::is_latent<C, R, N, V>
struct impl<kernels::latent_attention<quant::NoAs<bf16>, bf16, bf16, C, R, N, V>, B> {
  /// What LatentArgs::scratch points to, aligned to 16 bytes.
  static std::size_t scratch_bytes(int rows, int seqs, int heads) noexcept;
  static void run(typename B::stream stream, const kernels::LatentArgs<quant::NoAs<bf16>, bf16, bf16>& a) noexcept;
};

}  // namespace atom
