#pragma once
// embed and gather_rows on the Cpu backend: declarations; defined and instantiated in src/kernels/embedding.cpp.
// To extend: another table type is a term in the clause, an instance at the bottom of embedding.cpp and its conversion in
// src/kernels/cpu/convert_*.cpp.
#include "atom/core/backend.hpp"
#include "atom/ops/cpu_types.hpp"
#include "atom/ops/embedding_op.hpp"

namespace atom {

template <cpu::Table W, cpu::Activation T> struct impl<kernels::embed<W, T>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::embed<W, T>::args& a) noexcept;
};

template <cpu::Activation T> struct impl<kernels::gather_rows<T>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::gather_rows<T>::args& a) noexcept;
};

template <cpu::Activation T> struct impl<kernels::join_rows<T>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::join_rows<T>::args& a) noexcept;
};

}  // namespace atom
