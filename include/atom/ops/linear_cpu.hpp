#pragma once
// Matrix multiplication on the Cpu backend (host-only declarations; the kernels are compiled once, per instruction set).
// One idea: every weight type is stored as panels of 32 output rows made of 1 KiB tiles, so that one 64-byte load is an operand of
// FMA, of the bf16 and int8 dot products, and of AMX alike: one packed copy serves prefill and decode on every ISA level.
// To extend: a weight type whose element fits in 4 bytes needs one `Expand` (src/kernels/cpu/linear_panel.hpp).
//
// The panel of output rows [32 p, 32 p + 32) holds, for each 64 bytes of `in`, two tiles [16 dwords][16 rows]: a dword is one
// float, two bf16 or fp16, or four int8, neighbours along `in`; padding is zero. 128 bytes end a panel, so that panels do not share
// cache sets: int8 keeps the sums of its 32 rows there (int32), which turn unsigned-by-signed products into signed ones.
//
// Arithmetic: where activations or weights are float or fp16, fp32 FMA; bf16 by bf16, fp32 sums of bf16 products (levels
// avx512_bf16 and amx flush denormals); int8, exact int32 sums, so in <= 2^17. Results do not depend on the number of threads.
// A row's result depends on the other rows of the call through the order of summation only: groups of fewer than 4 rows use several
// partial sums; level amx multiplies bf16 with tiles from 4 rows on, in one order up to 16, up to 32, and beyond. int8 is exact.
// Extents stay below 2^28.
#include <cstddef>

#include "atom/core/backend.hpp"
#include "atom/ops/linear_op.hpp"

namespace atom {
namespace kernels {

/// Bytes of scratch memory that linear needs of a pool, for matrices of up to `in` columns, whatever rows and out: engines call
/// pool.reserve and pool.reserve_shared at set-up.
struct LinearScratch {
  std::size_t thread, shared;
};
LinearScratch linear_scratch(int in) noexcept;

template <class Q, class T, class Y>
concept CpuLinear = (std::same_as<T, Y> || std::same_as<Y, float>)&&(std::same_as<T, float> || std::same_as<T, bf16>)&&(
    std::same_as<Q, quant::NoAs<bf16>> || std::same_as<Q, quant::NoAs<fp16>> || std::same_as<Q, quant::NoAs<float>> ||
    std::same_as<Q, quant::PerToken<int8>>);

}  // namespace kernels

template <class Q, class T, class Y>
requires kernels::CpuLinear<Q, T, Y>
struct impl<kernels::linear<Q, T, Y>, Cpu> {
  /// `w` must have been packed by layout(); the pool must have reserved linear_scratch(in).
  static void run(ThreadPool* pool, const typename kernels::linear<Q, T, Y>::args& a) noexcept;
  static const quant::WeightLayout& layout();
};

template <class T>
requires(std::same_as<T, float> || std::same_as<T, bf16>) struct impl<kernels::quantize<quant::PerToken<int8>, T>, Cpu> {
  /// Bit for bit codec<PerToken<int8>>.
  static void run(ThreadPool* pool, const typename kernels::quantize<quant::PerToken<int8>, T>::args& a) noexcept;
  /// One row on the calling thread, as the loader quantises weights.
  static void encode_row(const T* row, int cols, int8* q, float* scale) noexcept;
};

}  // namespace atom
