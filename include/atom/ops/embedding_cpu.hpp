#pragma once
// embed and gather_rows on the Cpu backend: declarations; defined and instantiated in src/kernels/embedding.cpp.
// To extend: another table type is a term in the clause, an instance at the bottom of embedding.cpp and its conversion in
// src/kernels/cpu/convert_*.cpp.
#include <concepts>

#include "atom/core/backend.hpp"
#include "atom/ops/embedding_op.hpp"

namespace atom {

template <class W, class T>
requires(std::same_as<W, float> || std::same_as<W, bf16> || std::same_as<W, fp16>) &&
    (std::same_as<T, float> || std::same_as<T, bf16>)struct impl<kernels::embed<W, T>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::embed<W, T>::args& a) noexcept;
};

template <class T>
requires(std::same_as<T, float> || std::same_as<T, bf16>) struct impl<kernels::gather_rows<T>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::gather_rows<T>::args& a) noexcept;
};

}  // namespace atom
