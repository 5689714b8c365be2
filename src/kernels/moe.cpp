// The light half of a mixture of experts: thousands of multiplications per row between millions, so portable loops, cut by rows.
#include <algorithm>
#include <cmath>
#include <limits>

#include "atom/core/error.hpp"
#include "atom/ops/moe_cpu.hpp"

#include "cpu/dispatch.hpp"

namespace atom {
namespace {

// The top_k largest of v: (n), largest first, of equals the first. Inserts each into the list of the best so far.
void choose(const float* v, int n, int top_k, int* chosen) noexcept {
  const auto size = [&](int i) { return v[i] == v[i] ? v[i] : -std::numeric_limits<float>::infinity(); };
  for (int i = 0; i < n; ++i) {
    const float x = size(i);
    int at = std::min(i, top_k);
    if (at == top_k && !(x > size(chosen[top_k - 1]))) continue;
    if (at == top_k) --at;
    for (; at > 0 && x > size(chosen[at - 1]); --at) chosen[at] = chosen[at - 1];
    chosen[at] = i;
  }
}

}  // namespace

void impl<kernels::route_topk<moe::SoftmaxTopK>, Cpu>::run(Cpu::stream pool,
                                                           const kernels::route_topk<moe::SoftmaxTopK>::args& a) noexcept {
  ATOM_ASSERT(a.top_k > 0 && a.top_k <= a.experts, "route_topk: as many experts as chosen ones must exist");
  cpu::for_rows(pool, a.rows, 16 * a.experts, [&](int first, int count) {
    for (int r = first; r < first + count; ++r) {
      const float* logits = a.logits + static_cast<std::ptrdiff_t>(r) * a.experts;
      int* expert = a.expert + static_cast<std::ptrdiff_t>(r) * a.top_k;
      float* weight = a.weight + static_cast<std::ptrdiff_t>(r) * a.top_k;
      choose(logits, a.experts, a.top_k, expert);
      const float top = logits[expert[0]];
      float all = 0, chosen = 0;
      for (int k = 0; k < a.top_k; ++k) chosen += weight[k] = std::exp(logits[expert[k]] - top);
      if (!a.renormalise)
        for (int e = 0; e < a.experts; ++e) all += std::exp(logits[e] - top);
      for (int k = 0; k < a.top_k; ++k) weight[k] *= a.scale / (a.renormalise ? chosen : all);
    }
  });
}

// One thread: a counting sort of a few thousand integers ends before a pool has woken.
void impl<kernels::sort_by_expert, Cpu>::run(Cpu::stream, const kernels::sort_by_expert::args& a) noexcept {
  const int choices = a.rows * a.top_k;
  std::fill_n(a.first, a.experts + 1, 0);
  for (int i = 0; i < choices; ++i) ++a.first[a.expert[i] + 1];
  for (int e = 0; e < a.experts; ++e) a.first[e + 1] += a.first[e];
  for (int i = 0; i < choices; ++i) {
    const int slot = a.first[a.expert[i]]++;  // for now: where the expert's next one goes
    a.row[slot] = i / a.top_k;
    a.slot[i] = slot;
  }
  for (int e = a.experts; e > 0; --e) a.first[e] = a.first[e - 1];
  a.first[0] = 0;
}

template <cpu::Activation T>
void impl<kernels::combine_experts<T>, Cpu>::run(Cpu::stream pool, const typename kernels::combine_experts<T>::args& a) noexcept {
  constexpr int block = 256;  // columns whose sums stay in registers and L1
  cpu::for_rows(pool, a.rows, (a.top_k + 1) * a.cols, [&](int first, int count) {
    for (int r = first; r < first + count; ++r) {
      const int* slot = a.slot + static_cast<std::ptrdiff_t>(r) * a.top_k;
      const float* weight = a.weight + static_cast<std::ptrdiff_t>(r) * a.top_k;
      T* y = a.y + static_cast<std::ptrdiff_t>(r) * a.ldy;
      for (int c = 0; c < a.cols; c += block) {
        const int n = std::min(block, a.cols - c);
        float sum[block] = {};
        for (int k = 0; k < a.top_k; ++k) {
          const T* x = a.x + static_cast<std::ptrdiff_t>(slot[k]) * a.cols + c;
          for (int i = 0; i < n; ++i) sum[i] += weight[k] * static_cast<float>(x[i]);
        }
        for (int i = 0; i < n; ++i) y[c + i] = T(sum[i]);
      }
    }
  });
}

template struct impl<kernels::combine_experts<float>, Cpu>;
template struct impl<kernels::combine_experts<bf16>, Cpu>;

}  // namespace atom
