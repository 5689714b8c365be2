#pragma once
// A product of 9 to 64 rows, and what becomes of its sums.
// One idea: a block has a tile of outputs and all of k, which comes in stages through shared memory: several are on their way at
// any time, and those of the weights begin before the kernels in front are done. Tiles are small, so that there are blocks enough;
// waves then take turns along k, and their sums are joined at the end.
#include "atom/gpu/async.hpp"
#include "atom/gpu/mma.hpp"
#include "atom/ops/linear_gpu.hpp"

#include "rows.hpp"
#include "tail.hpp"

namespace atom::gpu {

/// The product, and where Best leaves what it finds.
template <class Y> struct SeveralArgs : kernels::linear<quant::NoAs<bf16>, bf16, Y>::args {
  std::uint64_t* best;  // (rows), or null
};

/// At most Rows rows; in: a multiple of 8; rows of y: whole_vectors(). Outs outputs for each block; k in Stages
/// of BlockK. WaveOuts waves share the outputs, WaveK each stage's k. Weights are fetched in order: with a gate, 16 rows of the
/// first half and the 16 of the second that belong to them take turns, so that one wave has both.
template <class Y, int Rows, int Outs, int BlockK, int WaveOuts, int WaveK, int Stages, class Tail> struct Several {
  using Args = SeveralArgs<Y>;
  static constexpr int outs = Outs, chunks = BlockK / 8, wave_outs = Outs / WaveOuts;
  static constexpr int tall = Rows / 16, wide = wave_outs / 16, n_halves = halves<Tail>;  // tiles of 16 x 16 that a wave has
  static constexpr bool starts_early = true;
  static constexpr int threads(int wave) { return WaveOuts * WaveK * wave; }
  static_assert(tall * 16 == Rows && wide * 16 == wave_outs && wide % n_halves == 0 && BlockK / 16 % WaveK == 0 && Stages > 1);
  struct Staged {
    swizzled<bf16, Stages * Rows, BlockK> x;
    swizzled<bf16, Stages * Outs, BlockK> w;
  };
  struct Shared {
    union {  // first the one, behind the products the other
      Staged stage;
      array<float, WaveK * Rows * Outs / 4, 4> sum;  // a vector for each lane, of each wave's part of each tile
      array<std::uint64_t, WaveOuts * WaveK, Rows> found;
    };
  };

  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& a) const {
    constexpr int W = Cta::wave, w_copies = ceil_div(Outs * chunks, Cta::threads()),
                  x_copies = ceil_div(Rows * chunks, Cta::threads());
    static_assert(Cta::threads() % chunks == 0);
    auto& shared = cta.template shared<Shared>();
    auto& s = shared.stage;
    const int my_out = cta.wave_id() % WaveOuts * wave_outs, my_k = cta.wave_id() / WaveOuts * 16;
    const int steps = ceil_div(a.in, BlockK), c = cta.thread() % chunks * 8;
    // Long sums of blocks that are all there at once begin at different k: not all ask the cache for the same lines of x then.
    const int first = Rows > 16 && n_halves == 1 && steps >= 16 ? cta.block_x() % steps : 0;
    const auto k_of = [&](int step) { return (step + first < steps ? step + first : step + first - steps) * BlockK; };
    const auto row_at = [&](int i) { return (i * Cta::threads() + cta.thread()) / chunks; };
    const bf16* w[w_copies];
    ATOM_UNROLL for (int i = 0; i < w_copies; ++i) w[i] = row_of(a.w, out_of(a, cta.block_x(), row_at(i)), a.in) + c;
    const auto fetch_w = [&](int step, int stage) {
      if (step >= steps) return;
      ATOM_UNROLL for (int i = 0; i < w_copies; ++i) {
        const int r = row_at(i), k = k_of(step);
        const bool exists = k + c < a.in;
        if (Outs * chunks % Cta::threads() == 0 || r < Outs)
          copy_async<8, true>(s.w, stage * Outs + r, c, exists ? w[i] + k : a.w, exists);
      }
    };
    const auto fetch_x = [&](int step, int stage) {
      if (step >= steps) return;
      ATOM_UNROLL for (int i = 0; i < x_copies; ++i) {
        const int r = row_at(i), k = k_of(step) + c;
        const bool exists = r < a.rows && k < a.in;
        if (Rows * chunks % Cta::threads() == 0 || r < Rows)
          copy_async<8>(s.x, stage * Rows + r, c, exists ? row_of(a.x, r, a.ldx) + k : a.x, exists);
      }
    };
    for (int i = 0; i < Stages - 1; ++i) fetch_w(i, i);
    cta.after_previous();
    for (int i = 0; i < Stages - 1; ++i) {  // the first group has the weights of all
      fetch_x(i, i);
      commit_copies();
    }
    constexpr int N = Tile<W>::run;
    vec<Y, N> y[tall][wide][Tile<W>::n / N] = {};
    if constexpr (std::is_same_v<Tail, kernels::Add>)
      each(cta, a, my_out, [&](int i, int j, int e, int row, int o) { y[i][j][e / N] = load<N>(row_of(a.y, row, a.ldy) + o); });
    FragOut<W> sum[tall][wide];
    for (int n = 0, from = 0, to = Stages - 1; n < steps; ++n) {
      wait_copies<Stages - 2>();
      cta.sync();  // this stage is here, and nobody reads the last one any more
      fetch_w(n + Stages - 1, to);
      fetch_x(n + Stages - 1, to);
      commit_copies();
      to = to + 1 == Stages ? 0 : to + 1;
      ATOM_UNROLL for (int k0 = 0; k0 < BlockK; k0 += 16 * WaveK) {
        const int k = k0 + my_k;
        FragIn<W> fx[tall];
        ATOM_UNROLL for (int i = 0; i < tall; ++i) fx[i] = load_a(cta, s.x, from * Rows + 16 * i, k);
        ATOM_UNROLL for (int j = 0; j < wide; ++j) {
          const FragIn<W> fw = load_b(cta, s.w, from * Outs + my_out + 16 * j, k);
          ATOM_UNROLL for (int i = 0; i < tall; ++i) mma_carried(cta, sum[i][j], fx[i], fw);
        }
      }
      from = from + 1 == Stages ? 0 : from + 1;
    }
    wait_copies<0>();
    if constexpr (WaveK > 1) join(cta, shared, sum);
    [[maybe_unused]] Best best[tall][Tile<W>::rows];
    if constexpr (finds_best<Tail>)  // said again: nvcc 13 begins all but the first row of them at zero
      ATOM_UNROLL for (int i = 0; i < tall; ++i) ATOM_UNROLL for (int r = 0; r < Tile<W>::rows; ++r) best[i][r] = Best();
    each(cta, a, my_out, [&](int i, int j, int e, int row, int o) {
      vec<Y, N> v = y[i][j][e / N];
      ATOM_UNROLL for (int r = 0; r < N; ++r) {
        const auto total = [&](int half) {
          const float t = sum[i][j + half].v[e + r];
          return a.bias ? t + a.bias[half * (a.out / n_halves) + o + r] : t;
        };
        v.v[r] = ended<Y>(Tail{}, total, static_cast<float>(v.v[r]));
        if constexpr (finds_best<Tail>) best[i][Tile<W>::a_row(e)].take(v.v[r], o + r);
      }
      store<N>(row_of(a.y, row, a.ldy) + o, v);
    });
    if constexpr (finds_best<Tail>) {
      cta.sync();  // nobody reads sums any more
      ATOM_UNROLL for (int i = 0; i < tall; ++i) ATOM_UNROLL for (int r = 0; r < Tile<W>::rows; ++r) {
        best[i][r].of_lanes(cta, Tile<W>::next_group, 4 * Tile<W>::next_group);
        if (Tile<W>::group(cta.lane()) == 0)
          shared.found.set(cta.wave_id(), 16 * i + Tile<W>::row(cta.lane(), r), best[i][r].key());
      }
      join_best(cta, shared.found, a.best, a.rows);
    }
  }

 private:
  /// The output that row r of a block's weights stands for; the last one again, where there is none.
  ATOM_DEVICE static int out_of(const Args& a, int block, int r) {
    if constexpr (n_halves == 1)
      return min(block * Outs + r, a.out - 1);
    else
      return min(block * (Outs / 2) + r / 32 * 16 + r % 16, a.out / 2 - 1) + r / 16 % 2 * (a.out / 2);
  }
  /// Whether a wave ends these sums: those that several have in part fall to them by turns, a gate's halves to the same.
  ATOM_DEVICE static bool ends(int wave, int i, int j) { return (i * (wide / n_halves) + j / n_halves) % WaveK == wave / WaveOuts; }

  /// Every wave gets the whole of those sums that it ends, added in the order of k.
  template <class Cta, int W> ATOM_DEVICE static void join(Cta& cta, Shared& s, FragOut<W> (&sum)[tall][wide]) {
    constexpr int each = Tile<W>::n / 4, vectors = tall * wide * each;
    const int wave = cta.wave_id();
    const auto at = [&](int w, int i, int j, int q) { return (w * vectors + (i * wide + j) * each + q) * W + cta.lane(); };
    cta.sync();
    ATOM_UNROLL for (int i = 0; i < tall; ++i) ATOM_UNROLL for (int j = 0; j < wide; ++j)
        ATOM_UNROLL for (int q = 0; q < each; ++q) {
      vec<float, 4> v;
      ATOM_UNROLL for (int e = 0; e < 4; ++e) v.v[e] = sum[i][j].v[4 * q + e];
      s.sum.template store<4>(at(wave, i, j, q), 0, v);
    }
    cta.sync();
    ATOM_UNROLL for (int i = 0; i < tall; ++i) ATOM_UNROLL for (int j = 0; j < wide; ++j) {
      if (!ends(wave, i, j)) continue;
      ATOM_UNROLL for (int q = 0; q < each; ++q) {
        vec<float, 4> v{};
        ATOM_UNROLL for (int w = 0; w < WaveK; ++w) {
          const auto part = s.sum.template load<4>(at(w * WaveOuts + wave % WaveOuts, i, j, q), 0);
          ATOM_UNROLL for (int e = 0; e < 4; ++e) v.v[e] += part.v[e];
        }
        ATOM_UNROLL for (int e = 0; e < 4; ++e) sum[i][j].v[4 * q + e] = v.v[e];
      }
    }
  }

  /// f(i, j, e, row, output) for all that this wave ends and that exist: N neighbours of y, from e on in tile (i, j).
  template <class Cta, class F> ATOM_DEVICE static void each(Cta& cta, const Args& a, int my_out, F f) {
    using T = Tile<Cta::wave>;
    const int out = a.out / n_halves, out0 = (cta.block_x() * Outs + my_out) / n_halves;
    ATOM_UNROLL for (int i = 0; i < tall; ++i) ATOM_UNROLL for (int j = 0; j < wide; j += n_halves) {
      if (!ends(cta.wave_id(), i, j)) continue;
      ATOM_UNROLL for (int e = 0; e < T::n; e += T::run) {
        const At at = T::carried(cta.lane(), e);
        const int row = 16 * i + at.row, o = out0 + 16 * (j / n_halves) + at.col;
        if (row < a.rows && o < out) f(i, j, e, row, o);
      }
    }
  }
};

}  // namespace atom::gpu
