#pragma once
// Which types the Cpu kernels are instantiated for. A key outside these has no kernel, which HasKernel says in a sentence at
// compile time rather than the linker at the end.
// To extend: a term here, and the instances at the bottom of the family's source in src/kernels.
#include <concepts>

#include "atom/core/dtype.hpp"
#include "atom/quant/scheme.hpp"

namespace atom::cpu {

template <class T>
concept Activation = std::same_as<T, float> || std::same_as<T, bf16>;
/// Embedding tables.
template <class W>
concept Table = Activation<W> || std::same_as<W, fp16>;
/// What a norm or an activation can leave behind for the projection that follows.
template <class Q>
concept Output = std::same_as<Q, quant::Keep> || std::same_as<Q, quant::PerToken<int8>>;
/// Caches beside activations of type T.
template <class Kv, class T>
concept CacheOf = Activation<T> &&(std::same_as<Kv, T> || std::same_as<Kv, bf16>);
/// The same of attention that caches every head: quantised ones too.
template <class Kv, class T>
concept HeadCacheOf = CacheOf<Kv, T> ||
    (std::same_as<T, bf16> && (std::same_as<Kv, quant::PerToken<int8>> || std::same_as<Kv, quant::PerToken<fp8_e4m3>>));

}  // namespace atom::cpu
