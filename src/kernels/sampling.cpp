#include "cpu/sampling.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>

#include "atom/ops/random.hpp"
#include "atom/ops/sampling_cpu.hpp"

#include "cpu/dispatch.hpp"

namespace atom {
namespace {

struct Passes {
  decltype(cpu::Sampling<cpu::Avx2>::extremes)* extremes;
  decltype(cpu::Sampling<cpu::Avx2>::find)* find;
  decltype(cpu::Sampling<cpu::Avx2>::weigh)* weigh;
  decltype(cpu::Sampling<cpu::Avx2>::fill)* fill;
  decltype(cpu::Sampling<cpu::Avx2>::members)* members;
  decltype(cpu::Sampling<cpu::Avx2>::count_at_least)* count_at_least;
};
template <class Level> constexpr Passes passes() {
  using S = cpu::Sampling<Level>;
  return {S::extremes, S::find, S::weigh, S::fill, S::members, S::count_at_least};
}

/// Ascending with x, and a strict order even where a broken model's logits are NaN.
std::int32_t order_of(float x) {
  const auto bits = std::bit_cast<std::int32_t>(x + 0.0f);  // -0 equals 0
  return bits < 0 ? bits ^ 0x7fffffff : bits;
}

/// One row's tokens in the order the definition sorts them, as far as somebody asks.
class Ranking {
 public:
  /// The first `count` tokens, and what their weights sum to.
  struct Prefix {
    int count;
    double mass;
  };

  Ranking(const Passes& pass, const float* x, int n, float temperature, float* weight, int* ids)
      : pass_(pass), x_(x), n_(n), temperature_(temperature), weight_(weight), ids_(ids) {
    pass_.extremes(x, n, &low_, &high_);
    pass_.weigh(x, n, high_, temperature, weight);
    look(0);
  }

  [[nodiscard]] Prefix all() const { return {n_, above_.mass + sum(buckets_)}; }
  /// The shortest prefix for which `enough` holds, or all; last() is its last token. `enough` must stay true as prefixes grow.
  template <class Enough> Prefix shortest(Enough enough) {
    if (window_ > 0 && enough(above_)) look(0);
    for (;;) {
      Prefix p = above_;
      for (int b = 0; b <= rest; ++b) {
        if (buckets_.count[b] == 0) continue;
        const Prefix whole{p.count + buckets_.count[b], p.mass + buckets_.mass[b]};
        if (!enough(whole) && whole.count < n_) {
          p = whole;
          continue;
        }
        if (b == rest && window_ + 1 < windows) break;
        sort(b);
        for (int i = 0; i < buckets_.count[b]; ++i) {
          last_ = ids_[i];
          p = {p.count + 1, p.mass + static_cast<double>(weight_[last_])};
          if (enough(p)) return p;
        }
      }
      if (p.count == n_) return p;
      look(window_ + 1);
    }
  }
  [[nodiscard]] int last() const { return last_; }

 private:
  // Window i spans [i, i + 1) * window_width temperatures below the best. Three of them reach down to weights of 1e-13.
  static constexpr int windows = 3, rest = cpu::logit_buckets - 1;
  static constexpr float window_width = 10;

  static double sum(const cpu::LogitBuckets& b) {
    double mass = 0;
    for (double m : b.mass) mass += m;
    return mass;
  }
  /// Moves to a window: the first one, or the one below the current.
  void look(int window) {
    if (window == 0) {
      above_ = {0, 0};
    } else {
      for (int b = 0; b < rest; ++b) above_ = {above_.count + buckets_.count[b], above_.mass + buckets_.mass[b]};
    }
    window_ = window;
    sorted_ = -1;
    const float width = std::min(high_ - low_, window_width * temperature_);
    at_ = {high_, static_cast<float>(rest) / width, static_cast<float>(window * rest)};
    pass_.fill(x_, weight_, n_, at_, buckets_);
  }
  void sort(int bucket) {
    if (bucket == sorted_) return;
    sorted_ = bucket;
    const int found = pass_.members(x_, n_, at_, bucket, ids_);
    std::sort(ids_, ids_ + found, [&](int l, int r) {
      const std::int32_t a = order_of(x_[l]), b = order_of(x_[r]);
      return a != b ? a > b : l < r;
    });
  }

  const Passes& pass_;
  const float* x_;
  int n_;
  float temperature_;
  float* weight_;  // (n)
  int* ids_;       // (n): the tokens of bucket sorted_, in order
  float low_ = 0, high_ = 0;
  int window_ = 0, sorted_ = -1, last_ = 0;
  cpu::LogitWindow at_{};
  Prefix above_{0, 0};  // the tokens above the window
  cpu::LogitBuckets buckets_;
};

int choose(const Passes& pass, const float* x, int n, const kernels::SampleParams& p, float* weight, int* ids) {
  if (p.temperature == 0) {
    float low = 0, high = 0;
    pass.extremes(x, n, &low, &high);
    return pass.find(x, n, high);
  }
  using Prefix = Ranking::Prefix;
  Ranking ranking(pass, x, n, p.temperature, weight, ids);
  Prefix kept = ranking.all();
  if (p.top_k > 0 && p.top_k < n) kept = ranking.shortest([&](Prefix t) { return t.count >= p.top_k; });
  if (p.top_p < 1) {
    const Prefix before = kept;
    kept =
        ranking.shortest([&](Prefix t) { return t.count >= before.count || t.mass >= static_cast<double>(p.top_p) * before.mass; });
  }
  if (p.min_p > 0)
    if (const int likely = std::max(1, pass.count_at_least(weight, n, p.min_p)); likely < kept.count)
      kept = ranking.shortest([&](Prefix t) { return t.count >= likely; });
  const double target = static_cast<double>(uniform(p.seed, p.counter)) * kept.mass;
  ranking.shortest([&](Prefix t) { return t.count >= kept.count || t.mass > target; });
  return ranking.last();
}

}  // namespace

void impl<kernels::sample, Cpu>::run(Cpu::stream pool, const kernels::sample::args& a) noexcept {
  const Passes pass = cpu::isa() >= cpu::Isa::avx512 ? passes<cpu::Avx512>() : passes<cpu::Avx2>();
  pool->parallel(a.rows, [&](int r, int) noexcept {
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(r) * a.vocab;
    a.tokens[r] = choose(pass, a.logits + static_cast<std::ptrdiff_t>(r) * a.ld, a.vocab, a.params[r], a.sorted + at, a.order + at);
  });
}

}  // namespace atom
