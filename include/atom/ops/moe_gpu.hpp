#pragma once
// A mixture of experts on GPU backends: declarations; defined and instantiated in src/kernels/gpu/moe.hip.
// One idea: sizes of launches follow from rows, top_k and how many experts there are; blocks read on the device which expert's rows
// are theirs, so a step may be recorded. To extend: a new score is score_of() and its instances at the end of that file.
#include "atom/ops/gpu_types.hpp"
#include "atom/ops/moe_op.hpp"

namespace atom {

template <moe::TopKRule Rule, gpu::Target B> struct impl<kernels::route_topk<Rule>, B> {
  static void run(typename B::stream stream, const typename kernels::route_topk<Rule>::args& a) noexcept;
};

template <gpu::Target B> struct impl<kernels::sort_by_expert, B> {
  static void run(typename B::stream stream, const kernels::sort_by_expert::args& a) noexcept;
};

template <gpu::Activation T, gpu::Target B> struct impl<kernels::combine_experts<T>, B> {
  static void run(typename B::stream stream, const typename kernels::combine_experts<T>::args& a) noexcept;
};

template <gpu::Activation T, gpu::Target B> struct impl<kernels::weigh_inputs<T>, B> {
  static void run(typename B::stream stream, const typename kernels::weigh_inputs<T>::args& a) noexcept;
};

/// bf16. Up to 16 rows an expert, on average, are multiplied while the weights stream by; more go through tiles in shared memory.
/// The table and what it points to lie in the device's memory; matrices whose rows are aligned to 16 bytes begin so too.
template <gpu::Target B> struct impl<kernels::expert_linear<quant::NoAs<bf16>, bf16>, B> {
  static void run(typename B::stream stream, const kernels::expert_linear<quant::NoAs<bf16>, bf16>::args& a) noexcept;
};

}  // namespace atom
