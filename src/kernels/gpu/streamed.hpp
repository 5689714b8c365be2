#pragma once
// A product of up to 64 rows by many weights, on devices with bulk copies.
// One idea: nobody but two threads asks for data. One has the weights' tiles come into a ring of stages, and begins before the
// kernels in front are done; one has those of x; four waves multiply what has come, where it lies. Blocks of a cluster have equal
// parts of k, so that each reads less of x, which comes from the cache as often as there are blocks; each then ends a part of the
// outputs, for which the others send it their sums.
#include "atom/gpu/bulk.hpp"
#include "atom/gpu/warpgroup.hpp"
#include "atom/ops/linear_gpu.hpp"

#include "rows.hpp"
#include "several.hpp"
#include "tail.hpp"

namespace atom::gpu {

template <class Y> struct StreamedArgs : SeveralArgs<Y> {
  TileMap w_tiles, x_tiles;
  int x_rows;  // that are copied: whole tiles of 16
};

/// At most 64 rows; in: a multiple of 8; rows of y: whole_vectors(); tails without a gate. Outs outputs for each cluster of Shares
/// blocks; k in stages of 128, so many of each operand.
template <class Y, int Outs, int WStages, int XStages, int Shares, class Tail> struct Streamed {
  using Args = StreamedArgs<Y>;
  static constexpr int rows = 64, outs = Outs, cluster = Shares, block_k = 128, boxes = block_k / TileMap::cols;
  static constexpr int multiplying = 4, tiles = Outs / 16, own = tiles / Shares;  // waves; 16 outputs each; those that a block ends
  using T = Tile<32>;
  using Before = vec<Y, T::run>;  // what y held
  static constexpr bool starts_early = true;
  static constexpr int threads(int wave) { return (multiplying + 2) * wave; }
  static_assert(own * Shares * 16 == Outs && halves<Tail> == 1);
  template <int Rows, int Stages> struct Ring {
    swizzled<bf16, Stages * boxes * Rows, TileMap::cols> tile;
    static_assert(sizeof(tile) % 1024 == 0);
    static constexpr int rows = Rows, stages = Stages;
    ATOM_DEVICE static int row(int n, int box) { return (n % Stages * boxes + box) * Rows; }
  };
  template <int Stages> struct Turns { arrivals here[Stages], read[Stages]; };
  struct Shared {
    Ring<Outs, WStages> w;  // first, and whole tiles, for the copies' sake
    Ring<rows, XStages> x;
    array<float, Shares == 1 ? 1 : (Shares - 1) * own * 2 * multiplying * 32, 4> sent;  // a vector for each lane
    array<std::uint64_t, 1, rows> found;
    Turns<WStages> w_turns;
    Turns<XStages> x_turns;
    arrivals sums;
  };

  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& a) const {
    static_assert(Cta::wave == 32);
    auto& s = cta.template shared<Shared>();
    const int share = cta.block_x() % Shares, out0 = cta.block_x() / Shares * Outs;
    const int steps = ceil_div(a.in, block_k * Shares), k0 = share * steps * block_k;
    const int first = steps > 8 ? cta.block_x() / Shares % steps : 0;  // not all at once ask the cache for the same lines of x
    if (cta.thread() == 0) begin(s);
    share_arrivals(cta);
    if constexpr (Shares > 1) cta.cluster_arrive();
    if (cta.wave_id() < multiplying) {
      cta.after_previous();
      Before before[own][T::n / T::run] = {};
      if constexpr (std::is_same_v<Tail, kernels::Add>)
        each(cta, a, out0 + share * own * 16,
             [&](int j, int e, int row, int o) { before[j][e / T::run] = load<T::run>(row_of(a.y, row, a.ldy) + o); });
      FragOut<32> sum[tiles];
      multiply(cta, s, sum, steps, a.x_rows);
      if constexpr (Shares > 1) {
        cta.cluster_wait();  // the others have begun: there is somebody to send to
        join(cta, s, sum, share);
      }
      ATOM_UNROLL for (int r = 0; r < Shares; ++r) {
        if (r == share) end(cta, s, a, sum, r, out0, before);
      }
    } else {
      const bool x = cta.wave_id() > multiplying;
      if (x) cta.after_previous();
      if (cta.lane() == 0) {
        if (x)
          fetch(s.x, s.x_turns, a.x_tiles, a.x_rows, 0, k0, steps, first);
        else
          fetch(s.w, s.w_turns, a.w_tiles, Outs, out0, k0, steps, first);
      }
      cta.wave_sync();
      if (!x) cta.after_previous();
      if constexpr (Shares > 1) cta.cluster_wait();
    }
    if constexpr (finds_best<Tail>) join_best(cta, s.found, a.best, a.rows);
  }

 private:
  ATOM_DEVICE static void begin(Shared& s) {
    const auto each = [](auto& turns, int stages) {
      for (int i = 0; i < stages; ++i) turns.here[i].begin(1), turns.read[i].begin(multiplying);
    };
    each(s.w_turns, WStages);
    each(s.x_turns, XStages);
    s.sums.begin(1);
    if constexpr (Shares > 1) s.sums.expect((Shares - 1) * own * 2 * multiplying * 32 * 16);
  }

  template <class R, class U>
  ATOM_DEVICE static void fetch(R& ring, U& turns, const TileMap& map, int rows, int row, int k0, int steps, int first) {
    for (int n = 0, step = first; n < steps; ++n, step = step + 1 == steps ? 0 : step + 1) {
      arrivals& here = turns.here[n % R::stages];
      if (n >= R::stages) turns.read[n % R::stages].wait((n / R::stages - 1) % 2);
      here.expect(boxes * rows * TileMap::cols * 2);
      ATOM_UNROLL for (int b = 0; b < boxes; ++b)
          copy_tile(ring.tile, R::row(n, b), map, rows, row, k0 + step * block_k + b * TileMap::cols, here);
    }
  }

  template <class Cta> ATOM_DEVICE static void multiply(Cta& cta, Shared& s, FragOut<32> (&sum)[tiles], int steps, int x_rows) {
    const auto is_read = [&](int n) {
      if (cta.lane() != 0) return;
      s.w_turns.read[n % WStages].arrive();
      s.x_turns.read[n % XStages].arrive();
    };
    begin_products(sum);
    for (int n = 0; n < steps; ++n) {
      s.w_turns.here[n % WStages].wait(n / WStages % 2);
      s.x_turns.here[n % XStages].wait(n / XStages % 2);
      ATOM_UNROLL for (int b = 0; b < boxes; ++b) ATOM_UNROLL for (int k = 0; k < TileMap::cols; k += 16)
          multiply_tiles(cta, sum, s.x.tile, s.x.row(n, b), x_rows, s.w.tile, s.w.row(n, b), k);
      commit_products();
      wait_products<1>(cta);
      if (n > 0) is_read(n - 1);
    }
    wait_products<0>(cta);
    is_read(steps - 1);
  }

  /// Every block gets the whole of those sums that it ends, added in the order of the blocks behind it.
  template <class Cta> ATOM_DEVICE static void join(Cta& cta, Shared& s, FragOut<32> (&sum)[tiles], int share) {
    const auto at = [&](int from, int j, int q) { return ((from * own + j) * 2 + q) * multiplying * 32 + cta.thread(); };
    ATOM_UNROLL for (int r = 0; r < Shares; ++r) {
      if (r == share) continue;
      ATOM_UNROLL for (int j = 0; j < own; ++j) ATOM_UNROLL for (int q = 0; q < 2; ++q) {
        vec<float, 4> v;
        ATOM_UNROLL for (int e = 0; e < 4; ++e) v.v[e] = sum[r * own + j].v[4 * q + e];
        send(r, s.sent, at((share - r + Shares) % Shares - 1, j, q), v, s.sums);
      }
    }
    s.sums.wait(0);
    ATOM_UNROLL for (int r = 0; r < Shares; ++r) {
      if (r != share) continue;
      ATOM_UNROLL for (int j = 0; j < own; ++j) ATOM_UNROLL for (int q = 0; q < 2; ++q) {
        ATOM_UNROLL for (int from = 0; from < Shares - 1; ++from) {
          const auto part = s.sent.template load<4>(at(from, j, q), 0);
          ATOM_UNROLL for (int e = 0; e < 4; ++e) sum[r * own + j].v[4 * q + e] += part.v[e];
        }
      }
    }
  }

  template <class Cta>
  ATOM_DEVICE static void end(Cta& cta, Shared& s, const Args& a, const FragOut<32> (&sum)[tiles], int share, int out0,
                              const Before (&before)[own][T::n / T::run]) {
    constexpr int N = T::run;
    [[maybe_unused]] Best best[T::rows];
    if constexpr (finds_best<Tail>)  // as in Several
      ATOM_UNROLL for (int r = 0; r < T::rows; ++r) best[r] = Best();
    each(cta, a, out0 + share * own * 16, [&](int j, int e, int row, int o) {
      Before v = before[j][e / N];
      ATOM_UNROLL for (int r = 0; r < N; ++r) {
        const auto total = [&](int) {
          const float t = sum[share * own + j].v[e + r];
          return a.bias ? t + a.bias[o + r] : t;
        };
        v.v[r] = ended<Y>(Tail{}, total, static_cast<float>(v.v[r]));
        if constexpr (finds_best<Tail>) best[T::a_row(e)].take(v.v[r], o + r);
      }
      store<N>(row_of(a.y, row, a.ldy) + o, v);
    });
    if constexpr (finds_best<Tail>) ATOM_UNROLL for (int r = 0; r < T::rows; ++r) {
        best[r].of_lanes(cta, T::next_group, 4 * T::next_group);
        if (T::group(cta.lane()) == 0) s.found.set(0, 16 * cta.wave_id() + T::row(cta.lane(), r), best[r].key());
      }
  }

  /// f(j, e, row, output) for all that this wave ends and that exist: neighbours of y, from e on in the block's tile j.
  template <class Cta, class F> ATOM_DEVICE static void each(Cta& cta, const Args& a, int first, F f) {
    ATOM_UNROLL for (int j = 0; j < own; ++j) ATOM_UNROLL for (int e = 0; e < T::n; e += T::run) {
      const At at = T::carried(cta.lane(), e);
      const int row = 16 * cta.wave_id() + at.row, o = first + 16 * j + at.col;
      if (row < a.rows && o < a.out) f(j, e, row, o);
    }
  }
};

/// Few outputs are shared by clusters, so that most multiprocessors have a block; several tiles of many outputs, by turns.
template <class Tail, class B, class Y> void streamed_product(typename B::stream stream, const SeveralArgs<Y>& a) {
  const auto run = [&]<class K>(K) {
    const int x_rows = ceil_div(a.rows, 16) * 16;
    StreamedArgs<Y> args{{a}, map_tiles(a.w, a.out, a.in, a.in, K::outs), map_tiles(a.x, a.rows, a.in, a.ldx, x_rows), x_rows};
    launch<K, B>(stream, {ceil_div(a.out, K::outs) * K::cluster, 1}, args);
  };
  if (one_each(a.out, 16)) return run(Streamed<Y, 64, 5, 5, 4, Tail>{});
  if (one_each(a.out, 32)) return run(Streamed<Y, 64, 7, 6, 2, Tail>{});
  if (one_each(a.out, 48)) return run(Streamed<Y, 96, 5, 5, 2, Tail>{});
  run(Streamed<Y, 96, 5, 5, 1, Tail>{});
}

}  // namespace atom::gpu
