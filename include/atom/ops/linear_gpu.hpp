#pragma once
// linear on GPU backends, bf16, and with float weights for routers: declarations; defined and instantiated in
// src/kernels/gpu/linear.hip and linear_float.hip.
// Weights stay row-major. Up to 16 rows are multiplied while the weights stream by once; more go through the
// vendor's library (atom/gpu/gemm.hpp), or tiles in shared memory.
// Sums are fp32 in an order that depends on the shape alone.
// fused_linear is the first of the two, for as many rows.
#include <bit>
#include <cstdint>

#include "atom/ops/activation_op.hpp"
#include "atom/ops/gpu_types.hpp"
#include "atom/ops/linear_op.hpp"

namespace atom {

namespace gpu {
template <class Tail>
concept Tailed =
    std::same_as<Tail, kernels::Write> || std::same_as<Tail, kernels::Add> || std::same_as<Tail, kernels::Gate<activation::Silu>>;

/// So many rows are multiplied at the speed of reading the weights, by own kernels: x and w are read in vectors.
constexpr int few_rows(int out, int in) { return double{1} * out * in > 1 << 24 ? 8 : 16; }
template <class X> bool whole_blocks(const X* x, int in, int ldx) {
  return in % 32 == 0 && ldx % 8 == 0 && std::bit_cast<std::uintptr_t>(x) % 16 == 0;
}
/// Elements of x that a block can normalise and keep; 512 threads, two vectors of 8 each, whole waves for each row.
inline constexpr int normalised = 8192;
/// Every block does it: that pays for few rows, and where all blocks run at once.
constexpr bool normalises(int rows, int out, int in) {
  return rows <= 4 && in <= 16 * 64 * (8 / rows) && rows * in <= normalised && few_rows(out, in) == 16;
}
}  // namespace gpu

template <gpu::Activation Y, gpu::Target B> struct impl<kernels::linear<quant::NoAs<bf16>, bf16, Y>, B> {
  static void run(typename B::stream stream, const typename kernels::linear<quant::NoAs<bf16>, bf16, Y>::args& a) noexcept;
};

template <gpu::Tailed Tail, gpu::Target B> struct impl<kernels::fused_linear<quant::NoAs<bf16>, bf16, Tail>, B> {
  using args = typename kernels::fused_linear<quant::NoAs<bf16>, bf16, Tail>::args;
  static bool takes(const args& a) noexcept {
    const auto& p = a.product;
    return p.rows > 0 && p.rows <= gpu::few_rows(p.out, p.in) && gpu::whole_blocks(p.x, p.in, p.ldx) &&
           (!a.norm_w || (std::same_as<Tail, kernels::Write> && gpu::normalises(p.rows, p.out, p.in)));
  }
  static void run(typename B::stream stream, const args& a) noexcept;
};
template <gpu::Tailed Tail, gpu::Target B>
inline constexpr bool joins<kernels::fused_linear<quant::NoAs<bf16>, bf16, Tail>, B> = true;

template <gpu::Target B> struct impl<kernels::linear<quant::NoAs<float>, bf16, float>, B> {
  static void run(typename B::stream stream, const kernels::linear<quant::NoAs<float>, bf16, float>::args& a) noexcept;
};

}  // namespace atom
