#pragma once
// Reference: a mixture of experts. These loops are the specification; every other kernel is tested against them.
#include <cmath>
#include <utility>

#include "atom/core/backend.hpp"
#include "atom/ops/linear_ref.hpp"
#include "atom/ops/moe_comm.hpp"

namespace atom {

template <moe::TopKRule Rule> struct impl<kernels::route_topk<Rule>, Ref> {
  using Score = typename Rule::score;
  static void run(Ref::stream, const typename kernels::route_topk<Rule>::args& a) noexcept {
    for (int r = 0; r < a.rows; ++r) {
      const float* l = a.logits + static_cast<std::ptrdiff_t>(r) * a.experts;
      int* expert = a.expert + static_cast<std::ptrdiff_t>(r) * a.top_k;
      float* weight = a.weight + static_cast<std::ptrdiff_t>(r) * a.top_k;
      const auto rank = [&](int e) {
        if constexpr (Rule::biased)
          return number(Score::of(l[e]) + a.bias[e]);
        else
          return number(l[e]);
      };
      const int each = a.experts / a.groups;
      int groups[moe::most_experts];
      const auto all = [](int) { return true; };
      best(groups, a.top_groups, a.groups, all, [&](int g) { return of_group(g * each, each, rank); });
      best(
          expert, a.top_k, a.experts, [&](int e) { return holds(groups, a.top_groups, e / each); }, rank);
      const auto score = [&](int e) {
        if constexpr (std::is_same_v<Score, moe::Softmax>)
          return std::exp(double{l[e]} - double{l[expert[0]]});
        else
          return double{Score::of(l[e])};
      };
      double sum = 1;
      if (a.renormalise) {
        sum = 1e-20;
        for (int k = 0; k < a.top_k; ++k) sum += score(expert[k]);
      } else if (std::is_same_v<Score, moe::Softmax>) {
        // expert[0] has the largest logit: of the best group, and there of all
        sum = 0;
        for (int e = 0; e < a.experts; ++e) sum += score(e);
      }
      for (int k = 0; k < a.top_k; ++k) weight[k] = static_cast<float>(score(expert[k]) / sum * double{a.scale});
    }
  }

 private:
  static float number(float x) { return std::isnan(x) ? -INFINITY : x; }
  static bool holds(const int* list, int n, int i) {
    for (int j = 0; j < n; ++j)
      if (list[j] == i) return true;
    return false;
  }
  // The k indices below n of the largest value among those that take part, largest first, of equals the first.
  static void best(int* list, int k, int n, auto takes_part, auto value) {
    for (int j = 0; j < k; ++j) {
      int top = -1;
      for (int i = 0; i < n; ++i)
        if (takes_part(i) && !holds(list, j, i) && (top < 0 || value(i) > value(top))) top = i;
      list[j] = top;
    }
  }
  static float of_group(int first, int count, auto rank) {
    float top = -INFINITY, second = -INFINITY;
    for (int e = first; e < first + count; ++e) {
      const float x = rank(e);
      second = std::fmax(second, std::fmin(top, x));
      top = std::fmax(top, x);
    }
    return Rule::biased && count > 1 ? number(top + second) : top;
  }
};

template <class T> struct impl<kernels::weigh_inputs<T>, Ref> {
  static void run(Ref::stream, const typename kernels::weigh_inputs<T>::args& a) noexcept {
    for (int r = 0; r < a.rows; ++r) {
      const float weight = std::exchange(a.weight[r], 1.0f);
      for (int c = 0; c < a.cols; ++c)
        a.y[static_cast<std::ptrdiff_t>(r) * a.cols + c] =
            T(weight * static_cast<float>(a.x[static_cast<std::ptrdiff_t>(r) * a.ldx + c]));
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

/// Expert by expert: an expert's rows are one block.
template <class Q, class T>
requires HasKernel<kernels::linear<Q, T>, Ref>
struct impl<kernels::expert_linear<Q, T>, Ref> {
  static void run(Ref::stream s, const typename kernels::expert_linear<Q, T>::args& a) noexcept {
    for (int e = 0; e < a.experts; ++e) run_on<kernels::linear<Q, T>, Ref>(s, kernels::expert_linear<Q, T>::block(a, e));
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
        if (a.plus) sum += double{static_cast<float>(a.plus[static_cast<std::ptrdiff_t>(r) * a.cols + c])};
        a.y[static_cast<std::ptrdiff_t>(r) * a.ldy + c] = T(static_cast<float>(sum));
      }
  }
};

template <class T> struct impl<kernels::dispatch_rows<T, ThreadComm>, Ref> {
  using args = typename kernels::dispatch_rows<T, ThreadComm>::args;
  static void run(Ref::stream, const args& a) noexcept {
    const void* const* all = a.comm->show(&a);
    const model::Rank rank{a.comm->rank(), a.comm->size(), a.comm->size()};
    const model::Share own = model::expert_share(a.experts, rank);
    int arrived = 0;
    for (int e = 0; e < own.count; ++e) {
      a.first[e] = arrived;
      for (int r = 0; r < rank.size; ++r) {
        const args& from = *static_cast<const args*>(all[r]);
        for (int i = from.mine.begin * a.top_k; i < (from.mine.begin + from.mine.count) * a.top_k; ++i) {
          if (from.expert[i] != own.begin + e) continue;
          for (int c = 0; c < a.cols; ++c)
            a.y[static_cast<std::ptrdiff_t>(arrived) * a.cols + c] =
                from.x[static_cast<std::ptrdiff_t>(i / a.top_k) * from.ldx + c];
          from.slot[i] = arrived++;
        }
      }
    }
    a.first[own.count] = arrived;
    a.comm->barrier();
  }
};

template <class T> struct impl<kernels::return_rows<T, ThreadComm>, Ref> {
  using args = typename kernels::return_rows<T, ThreadComm>::args;
  static void run(Ref::stream, const args& a) noexcept {
    const void* const* all = a.comm->show(&a);
    for (int r = 0; r < a.rows; ++r)
      for (int c = 0; c < a.cols; ++c) {
        double sum = 0;
        for (int k = 0; k < a.top_k && r >= a.mine.begin && r < a.mine.begin + a.mine.count; ++k) {
          const std::ptrdiff_t choice = static_cast<std::ptrdiff_t>(r) * a.top_k + k;
          const auto& owner = *static_cast<const args*>(all[model::owner_of_expert(a.expert[choice], a.experts, a.comm->size())]);
          sum += double{a.weight[choice]} *
                 double{static_cast<float>(owner.x[static_cast<std::ptrdiff_t>(a.slot[choice]) * a.cols + c])};
        }
        if (a.plus) sum += double{static_cast<float>(a.plus[static_cast<std::ptrdiff_t>(r) * a.cols + c])};
        a.y[static_cast<std::ptrdiff_t>(r) * a.ldy + c] = T(static_cast<float>(sum));
      }
    a.comm->barrier();
  }
};

}  // namespace atom
