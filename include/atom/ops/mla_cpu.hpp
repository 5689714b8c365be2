#pragma once
// Multi-head latent attention on the Cpu backend: declarations; defined and instantiated in src/kernels/mla.cpp, for any widths.
// To extend: another weight type is a term in the clause, an instance at the bottom of mla.cpp and an Unpack in cpu/mla_rows.hpp.
#include <cstddef>

#include "atom/ops/cpu_types.hpp"
#include "atom/ops/linear_cpu.hpp"
#include "atom/ops/mla_op.hpp"

namespace atom {

namespace kernels {
/// What latent_attention needs of every thread's scratch, and of the pool's shared one.
struct LatentScratch {
  std::size_t thread, shared;
};
LatentScratch latent_scratch(const LatentDims& d, int heads) noexcept;
}  // namespace kernels

namespace cpu {
template <Activation T, CacheOf<T> Kv>
void latent_write(ThreadPool* pool, const T* c, const T* k_pe, Kv* pages, const int* slots, int rows, int ldc, int ldk,
                  const kernels::LatentDims& d) noexcept;
template <class Q, Activation T, CacheOf<T> Kv>
void latent_attention(ThreadPool* pool, const kernels::LatentArgs<Q, T, Kv>& a, const kernels::LatentDims& d) noexcept;
}  // namespace cpu

template <cpu::Activation T> struct impl<kernels::rope_pairs<T>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::rope_pairs<T>::args& a) noexcept;
};

template <cpu::Activation T, cpu::CacheOf<T> Kv, int C, int R> struct impl<kernels::latent_write<T, Kv, C, R>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::latent_write<T, Kv, C, R>::args& a) noexcept {
    cpu::latent_write(pool, a.c, a.k_pe, a.pages, a.slots, a.rows, a.ldc, a.ldk, {C, R, 0, 0});
  }
};

template <class Q, cpu::Activation T, cpu::CacheOf<T> Kv, int C, int R, int N, int V>
requires kernels::CpuLinear<Q, T, T>
struct impl<kernels::latent_attention<Q, T, Kv, C, R, N, V>, Cpu> {
  static_assert(C % 32 == 0 && R % 32 == 0 && N % 32 == 0 && V % 32 == 0,
                "atom: the Cpu backend's latent attention takes widths that are multiples of 32");
  static_assert(V <= N + R, "atom: the Cpu backend's latent attention takes values no wider than keys");
  /// The pool must have reserved latent_scratch.
  static void run(Cpu::stream pool, const kernels::LatentArgs<Q, T, Kv>& a) noexcept {
    cpu::latent_attention(pool, a, {C, R, N, V});
  }
};

}  // namespace atom
