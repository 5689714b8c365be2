#pragma once
// What the drivers of linear (linear.cpp, expert_linear.cpp) share: which kernel serves how many rows at the level in force, how a
// matrix lies in panels, and the job that a call is.
#include <algorithm>
#include <array>
#include <cstdint>

#include "atom/core/cpu_features.hpp"
#include "atom/ops/linear_cpu.hpp"

#include "linear_kernels.hpp"

namespace atom::cpu {

// What serves one pair of activation and weight types at one level: a kernel for few rows and one for more.
struct Choice {
  const LinearKernel* few;
  const LinearKernel* many;
  int many_from;  // rows
  [[nodiscard]] const LinearKernel& of(int rows) const { return rows < many_from ? *few : *many; }
};
using Choices = std::array<Choice, 4>;  // by Isa

inline constexpr Choice always(const LinearKernel& k) { return {&k, &k, 0}; }
inline constexpr Choices fp32(const LinearKernel& for_avx2, const LinearKernel& for_avx512) {
  return {always(for_avx2), always(for_avx512), always(for_avx512), always(for_avx512)};
}

template <class X, class W> inline constexpr Choices choices{};
template <> inline constexpr Choices choices<float, float> = fp32(avx2::f32_f32, avx512::f32_f32);
template <> inline constexpr Choices choices<float, bf16> = fp32(avx2::f32_bf16, avx512::f32_bf16);
template <> inline constexpr Choices choices<float, fp16> = fp32(avx2::f32_fp16, avx512::f32_fp16);
template <> inline constexpr Choices choices<bf16, float> = fp32(avx2::bf16_f32, avx512::bf16_f32);
template <> inline constexpr Choices choices<bf16, fp16> = fp32(avx2::bf16_fp16, avx512::bf16_fp16);
// From `many_from` rows on the dot products of the vector unit no longer keep up with memory; AMX does.
template <>
inline constexpr Choices choices<bf16, bf16> = {always(avx2::bf16_bf16), always(avx512::bf16_bf16), always(avx512_bf16::bf16_bf16),
                                                Choice{&avx512_bf16::bf16_bf16, &amx::bf16_bf16, 4}};
template <>
inline constexpr Choices choices<int8, int8> = {always(avx2::int8_int8), always(avx512::int8_int8), always(avx512_bf16::int8_int8),
                                                Choice{&avx512_bf16::int8_int8, &amx::int8_int8, 6}};

template <class W> constexpr int weight_blocks(int in) {
  return static_cast<int>((in * std::ptrdiff_t{sizeof(W)} + block_bytes - 1) / block_bytes);
}
template <class W> constexpr std::ptrdiff_t panel_bytes(int in) {
  return std::ptrdiff_t{weight_blocks<W>(in)} * block_pair_bytes + row_sum_bytes;
}
constexpr int panel_count(int out) { return (out + panel_rows - 1) / panel_rows; }

// Whether the packed rows of a whole product stay in one thread's L2.
inline bool fits_thread(const LinearKernel& kernel, int rows, int w_blocks) noexcept {
  const std::ptrdiff_t padded_rows = rows <= 16 ? 16 : (rows + 31) / 32 * 32;
  return rows <= max_pass_rows && padded_rows * a_row_bytes(w_blocks * kernel.widening) <= packed_bytes;
}

// Outputs that the next kernel will not find in L2 anyway; whole lines only.
inline bool worth_streaming(const void* y, std::size_t size, int rows, int ldy) {
  const std::size_t row = size * static_cast<std::size_t>(ldy);
  return reinterpret_cast<std::uintptr_t>(y) % 64 == 0 && row % 64 == 0 &&
         row * static_cast<std::size_t>(rows) > (std::size_t{1} << 20);
}

/// A call's job, but for what a driver decides: where packed rows go, which panels come next, and which slice of `in`.
template <class Q, class T, class Y>
LinearJob job_of(const LinearKernel& kernel, const typename kernels::linear<Q, T, Y>::args& a) {
  using W = typename Q::weight;
  return {.x = a.x,
          .x_scale = a.x_scale,
          .w = a.w,
          .w_scale = a.w_scale,
          .bias = a.bias,
          .y = a.y,
          .a = nullptr,
          .sums = nullptr,
          .then = nullptr,
          .ldx = a.ldx,
          .ldy = a.ldy,
          .panel_bytes = panel_bytes<W>(a.in),
          .rows = a.rows,
          .out = a.out,
          .in = a.in,
          .panels = panel_count(a.out),
          .then_panels = 0,
          .w_blocks = weight_blocks<W>(a.in),
          .a_blocks = 0,
          .widening = kernel.widening,
          .first_block = 0,
          .last_block = 0,
          .first_panel = 0,
          .bf16_y = std::same_as<Y, bf16>,
          .stream_y = worth_streaming(a.y, sizeof(Y), a.rows, a.ldy)};
}

}  // namespace atom::cpu
