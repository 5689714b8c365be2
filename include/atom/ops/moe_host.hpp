#pragma once
// expert_linear where the host reads the backend's memory: expert by expert, through that backend's own linear.
// One idea: an expert's rows are one block, so a kernel for linear is a kernel for experts.
// To extend: a backend of its own memory multiplies all blocks in one launch and reads `first` there.
#include "atom/core/backend.hpp"
#include "atom/ops/linear_op.hpp"
#include "atom/ops/moe_op.hpp"

namespace atom {

template <class B>
concept HostMemory = std::same_as<B, Ref> || std::same_as<B, Cpu>;

template <class Q, class T, HostMemory B>
requires HasKernel<kernels::linear<Q, T>, B>
struct impl<kernels::expert_linear<Q, T>, B> {
  static void run(typename B::stream s, const typename kernels::expert_linear<Q, T>::args& a) noexcept {
    for (int e = 0; e < a.experts; ++e) {
      const int rows = a.first[e + 1] - a.first[e];
      if (rows == 0) continue;
      const auto at = static_cast<std::ptrdiff_t>(a.first[e]);
      const float* scale = a.x_scale ? a.x_scale + at : nullptr;
      run_on<kernels::linear<Q, T>, B>(s, {a.x + at * a.in, scale, a.weight[e].w, a.weight[e].scale, a.weight[e].bias,
                                           a.y + at * a.out, rows, a.out, a.in, a.in, a.out});
    }
  }
};

}  // namespace atom
