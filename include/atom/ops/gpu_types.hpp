#pragma once
// Which backends run the GPU kernels, and which types those are instantiated for. A key outside these has no kernel, which
// HasKernel says in a sentence at compile time.
// To extend: a term here, and the instances at the bottom of the family's source in src/kernels/gpu.
#include <concepts>

#include "atom/core/backend.hpp"
#include "atom/core/dtype.hpp"
#include "atom/quant/scheme.hpp"

namespace atom::gpu {

template <class B> inline constexpr bool runs_gpu_kernels = false;
template <> inline constexpr bool runs_gpu_kernels<Hip> = true;
template <int W> inline constexpr bool runs_gpu_kernels<Emu<W>> = true;
template <class B>
concept Target = runs_gpu_kernels<B>;

template <class T>
concept Activation = std::same_as<T, float> || std::same_as<T, bf16>;
template <class W>
concept Table = Activation<W> || std::same_as<W, fp16>;
/// Caches beside activations of type T.
template <class Kv, class T>
concept CacheOf = Activation<T> &&(std::same_as<Kv, T> || std::same_as<Kv, bf16>);
/// The same, of attention with heads of their own keys and values: also codes with a scale per row.
template <class Kv, class T>
concept HeadCacheOf = CacheOf<Kv, T> ||
    (std::same_as<T, bf16> && (std::same_as<Kv, quant::PerToken<int8>> || std::same_as<Kv, quant::PerToken<fp8_e4m3>>));
template <int D> inline constexpr bool is_head_width = D == 64 || D == 128;
/// What a norm or an activation can leave behind for the projection that follows.
template <class Q>
concept Output = std::same_as<Q, quant::Keep> || std::same_as<Q, quant::PerToken<int8>>;

}  // namespace atom::gpu
