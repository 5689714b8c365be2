#pragma once
// rope, kv_write and paged_attention on the Cpu backend: declarations; defined and instantiated in src/kernels/rope.cpp and
// attention.cpp, rope and kv_write for head widths 16, 32, 64, 96, 128 and 256.
// To extend: another element type is a term in the clause, an instance at the bottom of the source and one in
// src/kernels/cpu/attention_*.cpp; another head width (a multiple of 16) an instance in rope.cpp.
#include <cstddef>

#include "atom/core/backend.hpp"
#include "atom/ops/attention_op.hpp"
#include "atom/ops/cpu_types.hpp"

namespace atom {

/// What paged_attention needs of every thread's scratch: the engine passes it to ThreadPool::reserve at set-up.
std::size_t attention_scratch_bytes(int heads, int kv_heads, int head_dim);

template <cpu::Activation T, int D, kernels::RopeFlags F> struct impl<kernels::rope<T, D, F>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::rope<T, D, F>::args& a) noexcept;
};

template <cpu::Activation T, cpu::HeadCacheOf<T> Kv, int D> struct impl<kernels::kv_write<T, Kv, D>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::kv_write<T, Kv, D>::args& a) noexcept;
};

namespace cpu {
/// Attention of any head width and kind: one function per element types.
template <Activation T, HeadCacheOf<T> Kv>
void paged_attention(ThreadPool* pool, const kernels::AttentionArgs<T, Kv>& a, int head_dim) noexcept;
}  // namespace cpu

template <cpu::Activation T, cpu::HeadCacheOf<T> Kv, int D, kernels::AttnFlags F>
struct impl<kernels::paged_attention<T, Kv, D, F>, Cpu> {
  static_assert(D % 16 == 0, "atom: the Cpu backend's attention takes head widths that are multiples of 16");
  static void run(Cpu::stream pool, const kernels::AttentionArgs<T, Kv>& a) noexcept { cpu::paged_attention(pool, a, D); }
};

}  // namespace atom
