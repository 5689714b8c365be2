#pragma once
// Four waves multiply tiles where they lie in shared memory: Hopper's wgmma; elsewhere, what each wave's matrix unit does.
// One idea: sums lie in registers as Tile<32>::d says, 16 columns after another, so that one epilogue serves both.
// To extend: another width is another warpgroup_mma().
#include "atom/gpu/mma.hpp"

#if !ATOM_GPU_AMD
namespace atom::gpu {

#if ATOM_GPU_NVIDIA && defined(__CUDA_ARCH_FEAT_SM90_ALL)
/// A tile in shared memory, as the instruction wants it told: rows of 128 bytes, 8 of them swizzled together.
ATOM_DEVICE std::uint64_t tile_descriptor(const bf16* p) {
  const auto at = static_cast<std::uint64_t>(__cvta_generic_to_shared(p));
  return (at & 0x3ffff) >> 4 | std::uint64_t{1} << 16 | std::uint64_t{1024 >> 4} << 32 | std::uint64_t{1} << 62;
}
ATOM_DEVICE void warpgroup_mma(FragOut<32> (&d)[4], std::uint64_t x, std::uint64_t w) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, %32, %33, 1, 1, 1, 0, 0;"
      : "+f"(d[0].v[0]), "+f"(d[0].v[1]), "+f"(d[0].v[2]), "+f"(d[0].v[3]), "+f"(d[0].v[4]), "+f"(d[0].v[5]), "+f"(d[0].v[6]),
        "+f"(d[0].v[7]), "+f"(d[1].v[0]), "+f"(d[1].v[1]), "+f"(d[1].v[2]), "+f"(d[1].v[3]), "+f"(d[1].v[4]), "+f"(d[1].v[5]),
        "+f"(d[1].v[6]), "+f"(d[1].v[7]), "+f"(d[2].v[0]), "+f"(d[2].v[1]), "+f"(d[2].v[2]), "+f"(d[2].v[3]), "+f"(d[2].v[4]),
        "+f"(d[2].v[5]), "+f"(d[2].v[6]), "+f"(d[2].v[7]), "+f"(d[3].v[0]), "+f"(d[3].v[1]), "+f"(d[3].v[2]), "+f"(d[3].v[3]),
        "+f"(d[3].v[4]), "+f"(d[3].v[5]), "+f"(d[3].v[6]), "+f"(d[3].v[7])
      : "l"(x), "l"(w));
}
ATOM_DEVICE void warpgroup_mma(FragOut<32> (&d)[6], std::uint64_t x, std::uint64_t w) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n96k16.f32.bf16.bf16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, "
      "%40, %41, %42, %43, %44, %45, %46, %47}, %48, %49, 1, 1, 1, 0, 0;"
      : "+f"(d[0].v[0]), "+f"(d[0].v[1]), "+f"(d[0].v[2]), "+f"(d[0].v[3]), "+f"(d[0].v[4]), "+f"(d[0].v[5]), "+f"(d[0].v[6]),
        "+f"(d[0].v[7]), "+f"(d[1].v[0]), "+f"(d[1].v[1]), "+f"(d[1].v[2]), "+f"(d[1].v[3]), "+f"(d[1].v[4]), "+f"(d[1].v[5]),
        "+f"(d[1].v[6]), "+f"(d[1].v[7]), "+f"(d[2].v[0]), "+f"(d[2].v[1]), "+f"(d[2].v[2]), "+f"(d[2].v[3]), "+f"(d[2].v[4]),
        "+f"(d[2].v[5]), "+f"(d[2].v[6]), "+f"(d[2].v[7]), "+f"(d[3].v[0]), "+f"(d[3].v[1]), "+f"(d[3].v[2]), "+f"(d[3].v[3]),
        "+f"(d[3].v[4]), "+f"(d[3].v[5]), "+f"(d[3].v[6]), "+f"(d[3].v[7]), "+f"(d[4].v[0]), "+f"(d[4].v[1]), "+f"(d[4].v[2]),
        "+f"(d[4].v[3]), "+f"(d[4].v[4]), "+f"(d[4].v[5]), "+f"(d[4].v[6]), "+f"(d[4].v[7]), "+f"(d[5].v[0]), "+f"(d[5].v[1]),
        "+f"(d[5].v[2]), "+f"(d[5].v[3]), "+f"(d[5].v[4]), "+f"(d[5].v[5]), "+f"(d[5].v[6]), "+f"(d[5].v[7])
      : "l"(x), "l"(w));
}
#endif

/// sum(64, 16 N) += x(64, 16) · w(16 N, 16)ᵀ by four waves, of which each has 16 rows: from rows x_row of x and w_row of w, both in
/// tiles of 64 columns, and their columns from k. Of x, x_rows exist, a multiple of 16; sums of others are anything. Hopper's
/// wgmma, which reads shared memory while the waves go on: nobody else touches the sums between begin_products() and
/// wait_products<0>(), or writes what a group that is not done reads. Elsewhere, mma().
template <class Cta, int N, class X, class W>
ATOM_DEVICE void multiply_tiles(Cta& cta, FragOut<32> (&sum)[N], X& x, int x_row, [[maybe_unused]] int x_rows, W& w, int w_row,
                                int k) {
#if ATOM_GPU_NVIDIA && defined(__CUDA_ARCH_FEAT_SM90_ALL)
  // The swizzle goes by the address: 16 columns further are 32 bytes, whatever the row.
  warpgroup_mma(sum, tile_descriptor(x.place_of(x_row, 0)) + k / 8, tile_descriptor(w.place_of(w_row, 0)) + k / 8);
#else
  if (16 * cta.wave_id() >= x_rows) return;
  const auto f = load_a(cta, x, x_row + 16 * cta.wave_id(), k);
  ATOM_UNROLL for (int j = 0; j < N; ++j) mma(cta, sum[j], f, load_b(cta, w, w_row + 16 * j, k));
#endif
}
template <int N> ATOM_DEVICE void begin_products([[maybe_unused]] FragOut<32> (&sum)[N]) {
#if ATOM_GPU_NVIDIA && defined(__CUDA_ARCH_FEAT_SM90_ALL)
  ATOM_UNROLL for (int j = 0; j < N; ++j) ATOM_UNROLL for (int i = 0; i < 8; ++i) asm volatile(
      "" : "+f"(sum[j].v[i]));  // else ptxas may set them later, and serialises
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
/// What was multiplied since the last call is a group.
ATOM_DEVICE void commit_products() {
#if ATOM_GPU_NVIDIA && defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}
/// The wave waits until at most so many groups are not done.
template <int Groups, class Cta> ATOM_DEVICE void wait_products([[maybe_unused]] Cta& cta) {
#if ATOM_GPU_NVIDIA && defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Groups) : "memory");
#else
  cta.wave_sync();
#endif
}

}  // namespace atom::gpu
#endif
