#pragma once
// A product of up to 8 rows, and what stands around it.
// One idea: one block streams 16 rows of the weights by, every wave its part of k.
#include "atom/gpu/async.hpp"
#include "atom/gpu/mma.hpp"
#include "atom/ops/linear_gpu.hpp"

#include "rows.hpp"
#include "tail.hpp"

namespace atom::gpu {

/// The product, and the norm in front of it.
template <class Y> struct SkinnyArgs {
  using Product = typename kernels::linear<quant::NoAs<bf16>, bf16, Y>::args;
  Product p;
  const float* norm_w;  // (in), or null
  float eps;
  std::uint64_t* best = nullptr;  // (rows), with Best
};

/// The weights are the A operand: a lane brings 8 neighbours along k, 16 bytes, by way of a place in shared memory that is its
/// own, and those fill its slots of two MMAs. That permutes k within blocks of 32, for both operands alike, which a sum does
/// not notice. Waves take neighbouring blocks of k, so that what a thread block asks for at once lies together: many waves with
/// a block or two each on its way read faster than few with more. Both stages are asked for before the kernels in front are done.
/// Rows past the end are read again rather than masked: what they produce is not stored. With a gate, a block has 8 outputs: 8 rows
/// of the first half of the weights, and the 8 of the second that belong to them. Normed: every block normalises x, and keeps it in
/// shared memory, while its first weights are on their way.
template <class Y, int Threads, class Tail, bool Normed> struct Skinny {
  static constexpr int tile = 16, most_rows = 8, block_k = 32, outs = tile / halves<Tail>;
  static constexpr bool starts_early = true;
  static constexpr int threads(int) { return Threads; }
  using Weights = array<bf16, 4 * Threads, 8>;               // two stages, two rows at most, a vector for each thread
  using Partial = array<float, Threads / 2, most_rows + 1>;  // (wave, out), row of x
  static constexpr int apart = 4;                            // vectors between rows, so that lanes find them in other banks
  using Kept = array<bf16, normalised / 8 + 8 * apart, 8>;
  using Found = array<std::uint64_t, 1, most_rows>;
  struct Plain {
    union {  // first the one, behind the products the other
      Weights w;
      Found found;
    };
    Partial partial;
  };
  struct Keeping {
    Weights w;
    array<float, 32> squares;
    union {  // first the one, behind the products the other
      Kept x;
      Partial partial;
    };
  };
  using Shared = std::conditional_t<Normed, Keeping, Plain>;

  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const SkinnyArgs<Y>& args) const {
    constexpr int W = Cta::wave, step = Cta::waves() * block_k;
    using T = Tile<W>;
    const auto& a = args.p;
    auto& s = cta.template shared<Shared>();
    const int out0 = cta.block_x() * outs, out = a.out / halves<Tail>, lane = cta.lane(), k_lane = T::group(lane) * 8;
    const bf16* w[T::rows];
    ATOM_UNROLL for (int r = 0; r < T::rows; ++r) {
      const int row = T::row(lane, r), o = min(out0 + row % outs, out - 1) + row / outs * out;
      w[r] = row_of(a.w, o, a.in) + k_lane;
    }
    const int x_row = min(T::row(lane, 0), a.rows - 1);
    const bf16* const x = row_of(a.x, x_row, a.ldx) + k_lane;
    const auto place = [&](int stage, int r) { return (2 * stage + r) * Threads + cta.thread(); };
    const auto fetch = [&](int k, int stage) {
      if (k < a.in) ATOM_UNROLL for (int r = 0; r < T::rows; ++r) copy_async<8, true>(s.w, place(stage, r), 0, w[r] + k, true);
      commit_copies();
    };
    vec<bf16, 8> wv[T::rows], xv{};
    const auto load_x = [&](int k) {
      if (k >= a.in) return;
      if constexpr (Normed)
        xv = s.x.template load<8>(x_row * (a.in / 8 + apart) + (k + k_lane) / 8, 0);
      else
        xv = load<8>(x + k);
    };
    FragOut<W> sum;
    int k = cta.wave_id() * block_k;
    fetch(k, 0);
    fetch(k + step, 1);
    if constexpr (Normed)
      normalise(cta, s, args);
    else
      cta.after_previous();
    static_assert(outs * most_rows <= Threads);  // one sum each; what it is added to comes early
    [[maybe_unused]] float before = 0;
    if constexpr (std::is_same_v<Tail, kernels::Add>)
      if (const int o = cta.thread() % outs, row = cta.thread() / outs; row < a.rows && out0 + o < out)
        before = static_cast<float>(row_of(a.y, row, a.ldy)[out0 + o]);
    load_x(k);
    for (int stage = 0; k < a.in; stage ^= 1) {
      wait_copies<1>();
      ATOM_UNROLL for (int r = 0; r < T::rows; ++r) wv[r] = s.w.template load<8>(place(stage, r), 0);
      ATOM_UNROLL for (int half = 0; half < 2; ++half) {
        FragIn<W> fa, fb;
        ATOM_UNROLL for (int i = 0; i < T::n; ++i) {
          fa.v[i] = wv[T::a_row(i)].v[4 * half + T::a_slot(i)];
          fb.v[i] = T::b_row(i) == 0 ? xv.v[4 * half + T::b_slot(i)] : bf16();
        }
        mma(cta, sum, fa, fb);
      }
      k += step;
      load_x(k);
      fetch(k + step, stage);  // what lay there is used
    }
    wait_copies<0>();
    if constexpr (Normed) cta.sync();  // x becomes sums
    ATOM_UNROLL for (int i = 0; i < T::n; ++i) {
      const At at = T::d(lane, i);
      if (at.col < most_rows) s.partial.set(cta.wave_id() * tile + at.row, at.col, sum.v[i]);
    }
    cta.sync();
    const int o = cta.thread() % outs, row = cta.thread() / outs;
    const bool exists = row < a.rows && out0 + o < out;
    const auto total = [&](int half) {
      float y = 0;
      for (int wave = 0; wave < Cta::waves(); ++wave) y += s.partial.get(wave * tile + half * outs + o, row);
      return a.bias ? y + a.bias[half * out + out0 + o] : y;
    };
    Y y{};
    if (exists) row_of(a.y, row, a.ldy)[out0 + o] = y = ended<Y>(Tail{}, total, before);
    if constexpr (finds_best<Tail>) {
      static_assert(outs * most_rows % W == 0);
      Best best;
      if (exists) best.take(y, out0 + o);
      if (row < most_rows) {  // whole waves
        best.of_lanes(cta, 1, outs);
        if (o == 0) s.found.set(0, row, best.key());
      }
      join_best(cta, s.found, args.best, a.rows);
    }
  }

 private:
  /// All rows at once, each by its share of the waves, two vectors a lane at most. The norm's weights come before the kernels in
  /// front are done.
  template <class Cta> ATOM_DEVICE static void normalise(Cta& cta, Shared& s, const SkinnyArgs<Y>& args) {
    const auto& a = args.p;
    const int each = Cta::waves() / a.rows, row = cta.wave_id() / each, wave = cta.wave_id() % each;
    const int first = (wave * Cta::wave + cta.lane()) * 8, step = each * Cta::wave * 8;
    const bool mine = row < a.rows;
    vec<float, 8> g[2];
    vec<bf16, 8> v[2];
    ATOM_UNROLL for (int i = 0; i < 2; ++i) if (mine && first + i * step < a.in) g[i] =
        load_floats<8>(args.norm_w + first + i * step);
    cta.after_previous();
    ATOM_UNROLL for (int i = 0; i < 2; ++i) if (mine && first + i * step < a.in) v[i] =
        load<8>(row_of(a.x, row, a.ldx) + first + i * step);
    float squares = 0;
    ATOM_UNROLL for (int i = 0; i < 2; ++i) if (mine && first + i * step < a.in) ATOM_UNROLL for (int j = 0; j < 8; ++j) squares +=
        static_cast<float>(v[i].v[j]) * static_cast<float>(v[i].v[j]);
    squares = wave_sum(cta, squares);
    if (cta.lane() == 0) s.squares.set(cta.wave_id(), squares);
    cta.sync();
    float all = 0;
    for (int i = 0; i < each; ++i) all += mine ? s.squares.get(row * each + i) : 0.0f;
    const float inverse = 1.0f / sqrt(all / static_cast<float>(a.in) + args.eps);
    ATOM_UNROLL for (int i = 0; i < 2; ++i) if (mine && first + i * step < a.in) {
      ATOM_UNROLL for (int j = 0; j < 8; ++j) v[i].v[j] =
          bf16(g[i].v[j] * static_cast<float>(bf16(static_cast<float>(v[i].v[j]) * inverse)));
      s.x.template store<8>(row * (a.in / 8 + apart) + (first + i * step) / 8, 0, v[i]);
    }
    cta.sync();
  }
};

}  // namespace atom::gpu
