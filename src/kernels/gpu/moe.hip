// A mixture of experts: a wave per row makes the choice, a block per expert sorts, all experts multiply in one launch.
#include "atom/ops/moe_gpu.hpp"

#include "product.hpp"

namespace atom {
namespace {

using u32 = std::uint32_t;

/// Scores on a device.
ATOM_DEVICE float score_of(moe::Sigmoid, float logit) { return 1 / (1 + gpu::exp(-logit)); }
ATOM_DEVICE float score_of(moe::SqrtSoftplus, float logit) {
  // log(1 + x), x in [0, 1]: what rounding takes from 1 + x is given back.
  const float x = gpu::exp(-gpu::abs(logit)), u = 1 + x;
  return gpu::sqrt(gpu::max(logit, 0.0f) + (u == 1 ? x : gpu::log(u) * (x / (u - 1))));
}

ATOM_DEVICE float number(float x) { return x == x ? x : -INFINITY; }

/// The first of the largest.
struct Best {
  float value = -INFINITY;
  int at = 0x7fffffff;
  ATOM_DEVICE void take(float v, int i) {
    if (v > value || (v == value && i < at)) value = v, at = i;
  }
};

/// Of up to 32 W things, lane l has the l-th, the (l + W)-th, ...: which of its own are open is a bit each.
template <class Rule> struct Route {
  using Args = typename kernels::route_topk<Rule>::args;
  using Score = typename Rule::score;
  static constexpr bool softmax = std::is_same_v<Score, moe::Softmax>;
  static constexpr int waves = 4;
  static constexpr int threads(int wave) { return waves * wave; }
  struct Shared {
    gpu::array<float, waves, moe::most_experts> value, group;
  };

  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& a) const {
    constexpr int W = Cta::wave;
    static_assert(moe::most_experts <= 32 * W);
    const int wave = cta.wave_id(), lane = cta.lane(), row = cta.block_x() * waves + wave, each = a.experts / a.groups;
    if (row >= a.rows) return;  // the whole wave
    auto& s = cta.template shared<Shared>();
    const float* logits = gpu::row_of(a.logits, row, a.experts);
    for (int e = lane; e < a.experts; e += W) {
      if constexpr (Rule::biased)
        s.value.set(wave, e, number(score_of(Score{}, logits[e]) + a.bias[e]));
      else
        s.value.set(wave, e, number(logits[e]));
    }
    cta.wave_sync();
    u32 open = ~0u;
    if (a.groups > 1) {
      for (int g = lane; g < a.groups; g += W) s.group.set(wave, g, of_group(s, wave, g * each, each));
      cta.wave_sync();
      u32 groups = ~0u;
      open = 0;
      for (int k = 0; k < a.top_groups; ++k) {
        const int g = best(cta, s.group, a.groups, groups);
        for (int e = lane, j = 0; e < a.experts; e += W, ++j)
          if (e / each == g) open |= 1u << j;
      }
    }
    int* expert = gpu::row_of(a.expert, row, a.top_k);
    float* weight = gpu::row_of(a.weight, row, a.top_k);
    for (int k = 0; k < a.top_k; ++k) {
      const int e = best(cta, s.value, a.experts, open);
      if (lane == 0) expert[k] = e;
    }
    cta.wave_sync();
    const float top = logits[expert[0]];  // the largest: of the best group, and there of all
    const auto score = [&](int e) {
      if constexpr (softmax)
        return gpu::exp(logits[e] - top);
      else
        return score_of(Score{}, logits[e]);
    };
    float sum = 0;
    if (a.renormalise)
      for (int k = lane; k < a.top_k; k += W) sum += score(expert[k]);
    else if (softmax)
      for (int e = lane; e < a.experts; e += W) sum += score(e);
    sum = gpu::wave_sum(cta, sum);
    const float share = a.scale / (a.renormalise ? sum + 1e-20f : softmax ? sum : 1.0f);
    for (int k = lane; k < a.top_k; k += W) weight[k] = score(expert[k]) * share;
  }

 private:
  /// The best open one of n, which is then no longer open.
  template <class Cta> ATOM_DEVICE static int best(Cta& cta, const auto& values, int n, u32& open) {
    constexpr int W = Cta::wave;
    Best b;
    for (int i = cta.lane(), j = 0; i < n; i += W, ++j)
      if (open >> j & 1) b.take(values.get(cta.wave_id(), i), i);
    for (int m = W / 2; m > 0; m /= 2) {
      const float value = cta.shfl_xor(b.value, m);
      const int at = cta.shfl_xor(b.at, m);
      b.take(value, at);
    }
    if (b.at % W == cta.lane()) open &= ~(1u << b.at / W);
    return b.at;
  }
  ATOM_DEVICE static float of_group(const Shared& s, int wave, int first, int count) {
    float top = -INFINITY, second = -INFINITY;
    for (int e = first; e < first + count; ++e) {
      const float x = s.value.get(wave, e);
      second = gpu::max(second, gpu::min(top, x));
      top = gpu::max(top, x);
    }
    return Rule::biased && count > 1 ? number(top + second) : top;
  }
};

/// A block per expert: its waves count what lies before the expert's first slot, and before their own part of its choices, and
/// then hand out slots in order.
struct Sort {
  static constexpr int threads(int) { return gpu::row_threads; }
  struct Shared {
    gpu::array<int, 8> less, equal;
  };

  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const kernels::sort_by_expert::args& a) const {
    constexpr int W = Cta::wave;
    auto& s = cta.template shared<Shared>();
    const int e = cta.block_x(), wave = cta.wave_id(), lane = cta.lane(), n = a.rows * a.top_k;
    const int each = gpu::ceil_div(n, Cta::threads()) * W, from = wave * each, to = gpu::min(n, from + each);
    int less = 0, equal = 0;
    for (int i = from + lane; i < to; i += W) {
      const int x = a.expert[i];
      less += x < e;
      equal += x == e;
    }
    for (int m = W / 2; m > 0; m /= 2) {
      less += cta.shfl_xor(less, m);
      equal += cta.shfl_xor(equal, m);
    }
    if (lane == 0) s.less.set(wave, less), s.equal.set(wave, equal);
    cta.sync();
    int first = 0, mine = 0, all = 0;
    for (int w = 0; w < Cta::waves(); ++w) {
      first += s.less.get(w);
      if (w < wave) mine += s.equal.get(w);
      all += s.equal.get(w);
    }
    if (cta.thread() == 0) {
      a.first[e] = first;
      if (e == a.experts - 1) a.first[e + 1] = first + all;
    }
    int slot = first + mine;
    for (int i = from + lane; equal > 0 && i - lane < to; i += W) {
      const bool here = i < to && a.expert[i] == e;
      const std::uint64_t lanes = cta.ballot(here);
      if (here) {
        const int to_slot = slot + gpu::count_bits(lanes & ((std::uint64_t{1} << lane) - 1));
        a.row[to_slot] = i / a.top_k;
        a.slot[i] = to_slot;
      }
      slot += gpu::count_bits(lanes);
    }
  }
};

template <class T, int N> struct Combine {
  static constexpr int threads(int) { return gpu::row_threads; }
  struct Shared {};
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const typename kernels::combine_experts<T>::args& a) const {
    const int row = cta.block_x(), c = (cta.block_y() * cta.threads() + cta.thread()) * N;
    if (c >= a.cols) return;
    const int* slot = gpu::row_of(a.slot, row, a.top_k);
    const float* weight = gpu::row_of(a.weight, row, a.top_k);
    float sum[N] = {};
    for (int k = 0; k < a.top_k; ++k) {
      const auto x = gpu::load<N>(gpu::row_of(a.x, slot[k], a.cols) + c);
      ATOM_UNROLL for (int i = 0; i < N; ++i) sum[i] += weight[k] * static_cast<float>(x.v[i]);
    }
    if (a.plus) {
      const auto x = gpu::load<N>(gpu::row_of(a.plus, row, a.cols) + c);
      ATOM_UNROLL for (int i = 0; i < N; ++i) sum[i] += static_cast<float>(x.v[i]);
    }
    gpu::vec<T, N> y;
    ATOM_UNROLL for (int i = 0; i < N; ++i) y.v[i] = T(sum[i]);
    gpu::store<N>(gpu::row_of(a.y, row, a.ldy) + c, y);
  }
};

template <class T, int N> struct WeighInputs {
  static constexpr int threads(int) { return gpu::row_threads; }
  struct Shared {};

  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const typename kernels::weigh_inputs<T>::args& a) const {
    const int row = cta.block_x();
    const float weight = a.weight[row];
    for (int c = cta.thread() * N; c < a.cols; c += cta.threads() * N) {
      auto v = gpu::load<N>(gpu::row_of(a.x, row, a.ldx) + c);
      ATOM_UNROLL for (int i = 0; i < N; ++i) v.v[i] = T(weight * static_cast<float>(v.v[i]));
      gpu::store<N>(gpu::row_of(a.y, row, a.cols) + c, v);
    }
    cta.sync();  // all have read the weight
    if (cta.thread() == 0) a.weight[row] = 1;
  }
};

using Linear = kernels::expert_linear<quant::NoAs<bf16>, bf16>;

/// Tiles of so many rows that experts can have between them, whatever the router says.
constexpr int most_tiles(const Linear::args& a, int rows) { return (a.rows + gpu::min(a.rows, a.experts) * (rows - 1)) / rows; }

/// The rows of the block_y-th tile of an expert, and that expert's matrix; no rows behind the last tile.
template <int Rows, class Cta> ATOM_DEVICE gpu::Product<bf16, bf16> product_of(Cta& cta, const Linear::args& a) {
  const auto tile =
      gpu::pick(cta, cta.block_y(), a.experts, [&](int e) { return gpu::ceil_div(a.first[e + 1] - a.first[e], Rows); });
  if (tile.of < 0) return {};
  const int row0 = a.first[tile.of] + tile.part * Rows, rows = gpu::min(Rows, a.first[tile.of + 1] - row0);
  const auto weight = a.weight[tile.of];
  return {gpu::row_of(a.x, row0, a.in),
          gpu::global(weight.w),
          gpu::global(weight.bias),
          gpu::row_of(a.y, row0, a.out),
          rows,
          a.out,
          a.in,
          a.in,
          a.in,
          a.out};
}

template <bool Whole> struct ExpertRows {
  using Core = gpu::Streamed<bf16, bf16, 1, Whole>;
  using Shared = typename Core::Shared;
  static constexpr int threads(int wave) { return Core::threads(wave); }
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Linear::args& a) const {
    const auto product = product_of<Core::rows>(cta, a);
    if (product.rows > 0) Core::run(cta, cta.template shared<Shared>(), product, cta.block_x() * Core::tile);
  }
};

template <int Rows, int Stages> struct ExpertTile {
  static constexpr int outs = 128;
  using Core = gpu::Tiled<bf16, Rows, outs, Rows / 64, false, Stages>;
  using Shared = typename Core::Shared;
  static constexpr int threads(int wave) { return Core::threads(wave); }
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Linear::args& a) const {
    const auto product = product_of<Rows>(cta, a);
    if (product.rows > 0) Core::run(cta, cta.template shared<Shared>(), product, cta.block_x() * outs);
  }
};

}  // namespace

template <moe::TopKRule Rule, gpu::Target B>
void impl<kernels::route_topk<Rule>, B>::run(typename B::stream stream,
                                             const typename kernels::route_topk<Rule>::args& a) noexcept {
  gpu::launch<Route<Rule>, B>(stream, {gpu::ceil_div(a.rows, Route<Rule>::waves), 1}, a);
}

template <gpu::Target B>
void impl<kernels::sort_by_expert, B>::run(typename B::stream stream, const kernels::sort_by_expert::args& a) noexcept {
  gpu::launch<Sort, B>(stream, {a.experts, 1}, a);
}

template <gpu::Activation T, gpu::Target B>
void impl<kernels::combine_experts<T>, B>::run(typename B::stream stream,
                                               const typename kernels::combine_experts<T>::args& a) noexcept {
  constexpr int N = gpu::vector_of<T>;
  const auto grid = [&](int n) { return gpu::Grid{a.rows, gpu::ceil_div(a.cols, gpu::row_threads * n)}; };
  if (gpu::vectors<N>(a.x, a.cols) && gpu::vectors<N>(a.plus, a.cols) && gpu::vectors<N>(a.y, a.ldy))
    gpu::launch<Combine<T, N>, B>(stream, grid(N), a);
  else
    gpu::launch<Combine<T, 1>, B>(stream, grid(1), a);
}

template <gpu::Activation T, gpu::Target B>
void impl<kernels::weigh_inputs<T>, B>::run(typename B::stream stream, const typename kernels::weigh_inputs<T>::args& a) noexcept {
  constexpr int N = gpu::vector_of<T>;
  if (gpu::vectors<N>(a.x, a.ldx) && gpu::vectors<N>(a.y, a.cols))
    gpu::launch<WeighInputs<T, N>, B>(stream, {a.rows, 1}, a);
  else
    gpu::launch<WeighInputs<T, 1>, B>(stream, {a.rows, 1}, a);
}

template <gpu::Target B>
void impl<kernels::expert_linear<quant::NoAs<bf16>, bf16>, B>::run(typename B::stream stream, const Linear::args& a) noexcept {
  if (a.rows == 0) return;
  // A table's matrices are aligned as the loader puts them: to more than 16 bytes, if their rows are.
  const bool wide = gpu::vectors<8>(a.x, a.in) && gpu::vectors<8>(a.y, a.out) && a.in % 8 == 0;
  const int mean = a.rows / a.experts;
  const auto launch = [&]<class K>(K, int rows, int outs) {
    gpu::launch<K, B>(stream, {gpu::ceil_div(a.out, outs), most_tiles(a, rows)}, a);
  };
  constexpr int stages = gpu::wave_of<B> == 32 ? 3 : 1;
  if (!wide)
    launch(ExpertRows<false>{}, 16, 16);
  else if (mean > 96)
    launch(ExpertTile<128, stages>{}, 128, 128);
  else if (mean > 16 || a.in % 32 != 0)
    launch(ExpertTile<64, stages>{}, 64, 128);
  else
    launch(ExpertRows<true>{}, 16, 16);
}

}  // namespace atom

ATOM_GPU_KERNEL(atom::kernels::route_topk<atom::moe::TopK<atom::moe::Softmax>>);
ATOM_GPU_KERNEL(atom::kernels::route_topk<atom::moe::TopK<atom::moe::Sigmoid>>);
ATOM_GPU_KERNEL(atom::kernels::route_topk<atom::moe::TopK<atom::moe::SqrtSoftplus>>);
ATOM_GPU_KERNEL(atom::kernels::route_topk<atom::moe::BiasedTopK<atom::moe::Sigmoid>>);
ATOM_GPU_KERNEL(atom::kernels::route_topk<atom::moe::BiasedTopK<atom::moe::SqrtSoftplus>>);
ATOM_GPU_KERNEL(atom::kernels::sort_by_expert);
ATOM_GPU_KERNEL(atom::kernels::combine_experts<float>);
ATOM_GPU_KERNEL(atom::kernels::combine_experts<atom::bf16>);
ATOM_GPU_KERNEL(atom::kernels::weigh_inputs<float>);
ATOM_GPU_KERNEL(atom::kernels::weigh_inputs<atom::bf16>);
ATOM_GPU_KERNEL(atom::kernels::expert_linear<atom::quant::NoAs<atom::bf16>, atom::bf16>);
