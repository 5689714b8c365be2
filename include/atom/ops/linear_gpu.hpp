#pragma once
// linear on GPU backends, bf16, and with float weights for routers: declarations; defined and instantiated in
// src/kernels/gpu/linear.hip, linear_fused.hip and linear_float.hip.
// Weights stay row-major. Few rows are multiplied by own kernels while the weights stream by once, and joined with what surrounds
// the product (fused_linear); more go through the vendor's library (atom/gpu/gemm.hpp), or tiles in shared memory. Sums are fp32 in
// an order that depends on the shape alone.
#include <bit>
#include <cstdint>

#include "atom/gpu/runtime.hpp"
#include "atom/ops/activation_op.hpp"
#include "atom/ops/gpu_types.hpp"
#include "atom/ops/linear_op.hpp"

namespace atom {

namespace gpu {
template <class Tail>
concept Tailed = std::same_as<Tail, kernels::Write> || std::same_as<Tail, kernels::Add> || std::same_as<Tail, kernels::Best> ||
    std::same_as<Tail, kernels::Gate<activation::Silu>>;
/// Sums are written as they are.
template <class Tail>
concept Written = std::same_as<Tail, kernels::Write> || std::same_as<Tail, kernels::Best>;

template <class X> bool whole_blocks(const X* x, int in, int ldx) {
  return in % 32 == 0 && ldx % 8 == 0 && std::bit_cast<std::uintptr_t>(x) % 16 == 0;
}
/// Whether blocks of so many outputs are at most one for each multiprocessor of an H100.
constexpr bool one_each(int out, int outs) { return out <= 132 * outs; }
/// So many that blocks of 192 are most of that.
constexpr bool wide(int out) { return out > 95 * 192; }
/// k is so short that most of a block's part is asked for before the kernels in front are done; blocks of 32 are enough.
constexpr bool short_k(int out, int in) { return in <= 1024 && one_each(out, 32) && !one_each(out, 16); }

/// Whether rows of y can be written in vectors of 4, and weights of a gate's halves be taken by turns.
template <class Tail, class Args> bool whole_vectors(const Args& a) {
  return a.out % (std::same_as<Tail, kernels::Gate<activation::Silu>> ? 8 : 4) == 0 && a.ldy % 4 == 0 &&
         std::bit_cast<std::uintptr_t>(a.y) % (4 * sizeof(*a.y)) == 0;
}

/// Whether so many rows are multiplied by what comes in bulk copies (src/kernels/gpu/streamed.hpp), unless they have a gate.
template <Target B> bool streamed(int rows, int out) {
  if (rows <= (one_each(out, 16) ? 16 : 32) || rows > 64) return false;
  if constexpr (std::same_as<B, Hip>)
    return bulk_copies();
  else
    return B::wave == 32;
}

/// Whether own kernels multiply these rows, at the speed of reading the weights (src/kernels/gpu/few_rows.hpp): up to 32. To 64,
/// where tiles are streamed, and where a library is slower in a layer: with many outputs; with a gate, and blocks of 32 that all
/// run at once; and where k is short.
template <class Tail, Target B, class Args> bool few_rows(const Args& a) {
  constexpr bool written = Written<Tail>, gated = !written && !std::same_as<Tail, kernels::Add>;
  if (a.rows > 64 || !whole_blocks(a.x, a.in, a.ldx)) return false;
  if (a.rows <= 8) return true;
  return whole_vectors<Tail>(a) &&
         (a.rows <= 32 || (!gated && streamed<B>(a.rows, a.out)) || (gated && (wide(a.out) || one_each(a.out, 2 * 32))) ||
          (written && (wide(a.out) || short_k(a.out, a.in))));
}
/// Elements of x that a block can normalise and keep; 512 threads, two vectors of 8 each, whole waves for each row.
inline constexpr int normalised = 8192;
/// Every block does it: that pays for few rows, and where all blocks run at once.
constexpr bool normalises(int rows, int out, int in) {
  return rows <= 4 && in <= 16 * 64 * (8 / rows) && rows * in <= normalised && double{1} * out * in <= 1 << 24;
}
}  // namespace gpu

template <gpu::Activation Y, gpu::Target B> struct impl<kernels::linear<quant::NoAs<bf16>, bf16, Y>, B> {
  static void run(typename B::stream stream, const typename kernels::linear<quant::NoAs<bf16>, bf16, Y>::args& a) noexcept;
};

template <gpu::Tailed Tail, gpu::Target B> struct impl<kernels::fused_linear<quant::NoAs<bf16>, bf16, Tail>, B> {
  using args = typename kernels::fused_linear<quant::NoAs<bf16>, bf16, Tail>::args;
  static bool takes(const args& a) noexcept {
    const auto& p = a.product;
    if constexpr (std::same_as<Tail, kernels::Write>)
      return a.norm_w && p.rows > 0 && gpu::whole_blocks(p.x, p.in, p.ldx) && gpu::normalises(p.rows, p.out, p.in);
    else
      return !a.norm_w && p.rows > 0 && gpu::few_rows<Tail, B>(p);
  }
  static void run(typename B::stream stream, const args& a) noexcept;
};
template <gpu::Tailed Tail, gpu::Target B>
inline constexpr bool joins<kernels::fused_linear<quant::NoAs<bf16>, bf16, Tail>, B> = true;

template <gpu::Target B> struct impl<kernels::linear<quant::NoAs<float>, bf16, float>, B> {
  static void run(typename B::stream stream, const kernels::linear<quant::NoAs<float>, bf16, float>::args& a) noexcept;
};

}  // namespace atom
