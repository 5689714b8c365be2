#pragma once
// Reference: a mixture of experts. These loops are the specification; every other kernel is tested against them.
#include <cmath>

#include "atom/core/backend.hpp"
#include "atom/ops/linear_ref.hpp"
#include "atom/ops/moe_host.hpp"

namespace atom {

template <> struct impl<kernels::route_topk<moe::SoftmaxTopK>, Ref> {
  static void run(Ref::stream, const kernels::route_topk<moe::SoftmaxTopK>::args& a) noexcept {
    for (int r = 0; r < a.rows; ++r) {
      const float* l = a.logits + static_cast<std::ptrdiff_t>(r) * a.experts;
      int* expert = a.expert + static_cast<std::ptrdiff_t>(r) * a.top_k;
      float* weight = a.weight + static_cast<std::ptrdiff_t>(r) * a.top_k;
      const auto size = [&](int e) { return std::isnan(l[e]) ? -INFINITY : l[e]; };
      for (int k = 0; k < a.top_k; ++k) {
        int best = -1;
        for (int e = 0; e < a.experts; ++e) {
          bool taken = false;
          for (int j = 0; j < k; ++j) taken = taken || expert[j] == e;
          if (!taken && (best < 0 || size(e) > size(best))) best = e;
        }
        expert[k] = best;
      }
      const auto likelihood = [&](int e) { return std::exp(double{l[e]} - double{l[expert[0]]}); };
      double sum = 0;
      for (int i = 0; i < (a.renormalise ? a.top_k : a.experts); ++i) sum += likelihood(a.renormalise ? expert[i] : i);
      for (int k = 0; k < a.top_k; ++k) weight[k] = static_cast<float>(likelihood(expert[k]) / sum * double{a.scale});
    }
  }
};

template <> struct impl<kernels::sort_by_expert, Ref> {
  static void run(Ref::stream, const kernels::sort_by_expert::args& a) noexcept {
    int slot = 0;
    for (int e = 0; e < a.experts; ++e) {
      a.first[e] = slot;
      for (int i = 0; i < a.rows * a.top_k; ++i) {
        if (a.expert[i] != e) continue;
        a.row[slot] = i / a.top_k;
        a.slot[i] = slot++;
      }
    }
    a.first[a.experts] = slot;
  }
};

template <class T> struct impl<kernels::combine_experts<T>, Ref> {
  static void run(Ref::stream, const typename kernels::combine_experts<T>::args& a) noexcept {
    for (int r = 0; r < a.rows; ++r)
      for (int c = 0; c < a.cols; ++c) {
        double sum = 0;
        for (int k = 0; k < a.top_k; ++k) {
          const std::ptrdiff_t choice = static_cast<std::ptrdiff_t>(r) * a.top_k + k;
          sum +=
              double{a.weight[choice]} * double{static_cast<float>(a.x[static_cast<std::ptrdiff_t>(a.slot[choice]) * a.cols + c])};
        }
        a.y[static_cast<std::ptrdiff_t>(r) * a.ldy + c] = T(static_cast<float>(sum));
      }
  }
};

}  // namespace atom
