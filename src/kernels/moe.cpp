// The light half of a mixture of experts: thousands of multiplications per row between millions, so portable loops, cut by rows.
#include <algorithm>
#include <cmath>
#include <limits>

#include "atom/core/error.hpp"
#include "atom/ops/moe_cpu.hpp"

#include "cpu/dispatch.hpp"
#include "cpu/weighted_rows.hpp"

namespace atom {
namespace {

constexpr float lowest = -std::numeric_limits<float>::infinity();
float number(float x) { return x == x ? x : lowest; }

// The `most` indices of the largest values, largest first, of equals the one offered first: an insertion into a short list.
struct Best {
  int* list;
  int most, count = 0;
  void offer(const float* value, int i) noexcept {
    int at = count;
    if (count == most) {
      if (!(value[i] > value[list[most - 1]])) return;
      --at;
    } else {
      ++count;
    }
    for (; at > 0 && value[i] > value[list[at - 1]]; --at) list[at] = list[at - 1];
    list[at] = i;
  }
};

// The best top_k of `value`, of the best groups only.
template <bool Biased, class Args> void choose(const float* value, const Args& a, int* expert) noexcept {
  Best experts{expert, a.top_k};
  if (a.groups == 1) {
    for (int e = 0; e < a.experts; ++e) experts.offer(value, e);
    return;
  }
  float group[moe::most_experts];
  int kept[moe::most_experts];
  Best groups{kept, a.top_groups};
  const int each = a.experts / a.groups;
  for (int g = 0; g < a.groups; ++g) {
    float top = lowest, second = lowest;
    for (int e = g * each; e < (g + 1) * each; ++e) {
      second = std::max(second, std::min(top, value[e]));
      top = std::max(top, value[e]);
    }
    group[g] = Biased && each > 1 ? number(top + second) : top;
    groups.offer(group, g);
  }
  std::sort(kept, kept + a.top_groups);  // of equals the first is wanted
  for (int g = 0; g < a.top_groups; ++g)
    for (int e = kept[g] * each; e < (kept[g] + 1) * each; ++e) experts.offer(value, e);
}

}  // namespace

template <moe::TopKRule Rule>
void impl<kernels::route_topk<Rule>, Cpu>::run(Cpu::stream pool, const typename kernels::route_topk<Rule>::args& a) noexcept {
  using Score = typename Rule::score;
  constexpr bool softmax = std::is_same_v<Score, moe::Softmax>;
  ATOM_ASSERT(a.top_k > 0 && a.experts <= moe::most_experts && a.experts % a.groups == 0 &&
                  a.top_k <= a.top_groups * (a.experts / a.groups),
              "route_topk: as many experts as chosen ones must exist");
  cpu::for_rows(pool, a.rows, 16 * a.experts, [&](int first, int count) {
    float value[moe::most_experts];
    for (int r = first; r < first + count; ++r) {
      const float* logits = a.logits + static_cast<std::ptrdiff_t>(r) * a.experts;
      int* expert = a.expert + static_cast<std::ptrdiff_t>(r) * a.top_k;
      float* weight = a.weight + static_cast<std::ptrdiff_t>(r) * a.top_k;
      for (int e = 0; e < a.experts; ++e) {
        if constexpr (Rule::biased)
          value[e] = number(Score::of(logits[e]) + a.bias[e]);
        else
          value[e] = number(logits[e]);
      }
      choose<Rule::biased>(value, a, expert);
      [[maybe_unused]] const float top = logits[expert[0]];
      const auto score = [&](int e) {
        if constexpr (softmax)
          return std::exp(logits[e] - top);
        else
          return Score::of(logits[e]);
      };
      float chosen = 1e-20f, all = softmax ? 0 : 1;
      for (int k = 0; k < a.top_k; ++k) chosen += weight[k] = score(expert[k]);
      if (softmax && !a.renormalise)
        for (int e = 0; e < a.experts; ++e) all += score(e);
      for (int k = 0; k < a.top_k; ++k) weight[k] *= a.scale / (a.renormalise ? chosen : all);
    }
  });
}

template <cpu::Activation T>
void impl<kernels::weigh_inputs<T>, Cpu>::run(Cpu::stream pool, const typename kernels::weigh_inputs<T>::args& a) noexcept {
  cpu::for_rows(pool, a.rows, a.cols, [&](int first, int count) {
    for (int r = first; r < first + count; ++r) {
      const auto row = [&](int) { return a.x + static_cast<std::ptrdiff_t>(r) * a.ldx; };
      cpu::weighted_sum<T>(row, a.weight + r, 1, nullptr, a.y + static_cast<std::ptrdiff_t>(r) * a.cols, a.cols);
      a.weight[r] = 1;
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
    const int slot = a.first[a.expert[i]]++;  // until all have a slot: where the expert's next one goes
    a.row[slot] = i / a.top_k;
    a.slot[i] = slot;
  }
  for (int e = a.experts; e > 0; --e) a.first[e] = a.first[e - 1];
  a.first[0] = 0;
}

template <cpu::Activation T>
void impl<kernels::combine_experts<T>, Cpu>::run(Cpu::stream pool, const typename kernels::combine_experts<T>::args& a) noexcept {
  cpu::for_rows(pool, a.rows, (a.top_k + 1) * a.cols, [&](int first, int count) {
    for (int r = first; r < first + count; ++r) {
      const std::ptrdiff_t choice = static_cast<std::ptrdiff_t>(r) * a.top_k;
      const auto row = [&](int k) { return a.x + static_cast<std::ptrdiff_t>(a.slot[choice + k]) * a.cols; };
      cpu::weighted_sum(row, a.weight + choice, a.top_k, a.plus ? a.plus + static_cast<std::ptrdiff_t>(r) * a.cols : nullptr,
                        a.y + static_cast<std::ptrdiff_t>(r) * a.ldy, a.cols);
    }
  });
}

template struct impl<kernels::route_topk<moe::TopK<moe::Softmax>>, Cpu>;
template struct impl<kernels::route_topk<moe::TopK<moe::Sigmoid>>, Cpu>;
template struct impl<kernels::route_topk<moe::TopK<moe::SqrtSoftplus>>, Cpu>;
template struct impl<kernels::route_topk<moe::BiasedTopK<moe::Sigmoid>>, Cpu>;
template struct impl<kernels::route_topk<moe::BiasedTopK<moe::SqrtSoftplus>>, Cpu>;
template struct impl<kernels::weigh_inputs<float>, Cpu>;
template struct impl<kernels::weigh_inputs<bf16>, Cpu>;
template struct impl<kernels::combine_experts<float>, Cpu>;
template struct impl<kernels::combine_experts<bf16>, Cpu>;

}  // namespace atom
