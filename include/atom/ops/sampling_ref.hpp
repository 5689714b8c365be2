#pragma once
// Reference: best_tokens and sample.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "atom/core/backend.hpp"
#include "atom/ops/random.hpp"
#include "atom/ops/sampling_op.hpp"

namespace atom {

template <> struct impl<kernels::best_tokens, Ref> {
  static void run(Ref::stream, const kernels::best_tokens::args& a) noexcept {
    for (int r = 0; r < a.rows; ++r)
      for (int i = 0; i < a.vocab; ++i)
        a.best[r] = std::max(a.best[r], kernels::BestToken::of(a.logits[static_cast<std::ptrdiff_t>(r) * a.ld + i], i));
  }
};

template <> struct impl<kernels::sample, Ref> {
  static void run(Ref::stream, const kernels::sample::args& a) noexcept {
    for (int r = 0; r < a.rows; ++r) {
      const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(r) * a.vocab;
      a.tokens[r] = one(a.logits + static_cast<std::ptrdiff_t>(r) * a.ld, a.params[r], a.sorted + at, a.order + at, a.vocab);
    }
  }

 private:
  static int one(const float* logits, const kernels::SampleParams& p, float* weight, int* order, int vocab) noexcept {
    if (p.temperature == 0) return static_cast<int>(std::max_element(logits, logits + vocab) - logits);
    std::iota(order, order + vocab, 0);
    std::sort(order, order + vocab, [&](int l, int r) { return logits[l] != logits[r] ? logits[l] > logits[r] : l < r; });
    int kept = p.top_k > 0 && p.top_k < vocab ? p.top_k : vocab;
    const float top = logits[order[0]];
    double total = 0;
    for (int i = 0; i < kept; ++i) {
      weight[i] = std::exp((logits[order[i]] - top) / p.temperature);  // the largest is 1
      total += double{weight[i]};
    }
    if (p.top_p < 1) {
      double cumulative = 0;
      int n = 0;
      while (n < kept && (n == 0 || cumulative < double{p.top_p} * total)) cumulative += double{weight[n++]};
      kept = n;
      total = cumulative;
    }
    if (p.min_p > 0) {
      double cumulative = 0;
      int n = 0;
      while (n < kept && (n == 0 || weight[n] >= p.min_p)) cumulative += double{weight[n++]};
      kept = n;
      total = cumulative;
    }
    const double target = double{uniform(p.seed, p.counter)} * total;
    double cumulative = 0;
    for (int i = 0; i < kept; ++i) {
      cumulative += double{weight[i]};
      if (cumulative > target) return order[i];
    }
    return order[kept - 1];
  }
};

}  // namespace atom
