#pragma once
// best_tokens and sample on GPU backends: declarations; defined in src/kernels/gpu/sampling.hip.
#include <cstddef>

#include "atom/ops/gpu_types.hpp"
#include "atom/ops/sampling_op.hpp"

namespace atom {

template <gpu::Target B> struct impl<kernels::best_tokens, B> {
  static void run(typename B::stream stream, const kernels::best_tokens::args& a) noexcept;
};
/// A step that is told where bests go finds them, and draws begin with those.
template <gpu::Target B> inline constexpr bool joins<kernels::best_tokens, B> = true;

/// No row is sorted: `sorted` is not used, and `order` is scratch of scratch_ints(). A vocabulary has fewer than 2^20 tokens.
template <gpu::Target B> struct impl<kernels::sample, B> {
  /// Ints that `order` points to, aligned to 8 bytes; never more than rows x vocab.
  static std::size_t scratch_ints(int rows, int vocab) noexcept;
  static void run(typename B::stream stream, const kernels::sample::args& a) noexcept;
};

}  // namespace atom
