#pragma once
// A mixture of experts on the Cpu backend: declarations; defined and instantiated in src/kernels/moe.cpp, the products in
// src/kernels/expert_linear.cpp, what passes between ranks in src/kernels/moe_comm.cpp.
// To extend: a new score of moe::TopK or BiasedTopK is one line at the end of src/kernels/moe.cpp.
#include "atom/core/backend.hpp"
#include "atom/ops/cpu_types.hpp"
#include "atom/ops/linear_cpu.hpp"
#include "atom/ops/moe_comm.hpp"

namespace atom {

template <moe::TopKRule Rule> struct impl<kernels::route_topk<Rule>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::route_topk<Rule>::args& a) noexcept;
};

template <cpu::Activation T> struct impl<kernels::weigh_inputs<T>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::weigh_inputs<T>::args& a) noexcept;
};

template <> struct impl<kernels::sort_by_expert, Cpu> {
  static void run(Cpu::stream pool, const kernels::sort_by_expert::args& a) noexcept;
};

/// Bit for bit linear<Q, T> of each block; weights and scratch as there.
template <class Q, class T>
requires kernels::CpuLinear<Q, T, T>
struct impl<kernels::expert_linear<Q, T>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::expert_linear<Q, T>::args& a) noexcept;
};

template <cpu::Activation T> struct impl<kernels::combine_experts<T>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::combine_experts<T>::args& a) noexcept;
};

/// Between ranks of one process rows are read where they lie: copied once, by the rank that owns the expert.
template <cpu::Activation T> struct impl<kernels::dispatch_rows<T, ThreadComm>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::dispatch_rows<T, ThreadComm>::args& a) noexcept;
};
template <cpu::Activation T> struct impl<kernels::return_rows<T, ThreadComm>, Cpu> {
  static void run(Cpu::stream pool, const typename kernels::return_rows<T, ThreadComm>::args& a) noexcept;
};

}  // namespace atom
