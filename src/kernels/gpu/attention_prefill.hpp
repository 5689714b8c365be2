#pragma once
// Attention of many query rows: a block has a tile of queries of one KV head and walks over the keys they see, tile by tile.
// One idea: a query is a pair (row, head of the group), so every key that is fetched serves the whole group; two stages of keys and
// values, so that the next tile is on its way while this one is multiplied, with one barrier per tile.
// To extend: a kernel for one chip (wgmma, say) is another functor with these arguments, chosen in attention.hip.
#include "attention_tile.hpp"

namespace atom::gpu {

/// What the launch knows beside the args: sequences of one row are another kernel's.
template <class A> struct PrefillArgs {
  A a;
  bool skip_single;
};

/// Slices: 16 queries each, per wave. Keys: tokens per stage.
template <int D, int Slices, int Keys> struct PrefillAttention {
  using Args = PrefillArgs<typename kernels::paged_attention<bf16, bf16, D>::args>;
  using layout = kernels::KvLayout<bf16, D>;
  static constexpr int waves = 4, queries = waves * Slices * 16, page = layout::page, chunks = D / 8, channels = D / 16;
  static constexpr int threads(int wave) { return waves * wave; }
  struct Shared {
    swizzled<bf16, queries, D> q;
    swizzled<bf16, 2 * Keys, D> k, v;
  };

  /// Grid: (KV heads, tiles). The longest walks are the last tiles of a sequence: they come first.
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& args) const {
    constexpr int W = Cta::wave, tiles = Keys / 16;
    using T = Tile<W>;
    const auto& a = args.a;
    auto& s = cta.template shared<Shared>();
    const int kv_head = cta.block_x(), group = a.heads / a.kv_heads;
    const Place place = find(cta, args, group);
    if (place.seq < 0) return;
    const int row0 = a.first_row[place.seq], rows = a.first_row[place.seq + 1] - row0, context = a.context[place.seq];
    const int past = context - rows, query0 = place.tile * queries;
    const int last_row = min(rows, ceil_div(query0 + queries, group)) - 1;  // of this block
    const int end = past + last_row + 1;                                    // of what it sees

    fetch_queries(cta, s, a, query0, rows, row0, kv_head, group);
    const int* const table = row_of(a.block_table, place.seq, a.table_stride);
    Fetch<W> fetch{cta.thread(), context, kv_head, table, {}};
    fetch.look_up(0);
    fetch(s, a, 0, 0);
    fetch.look_up(Keys);

    const int wave0 = cta.wave_id() * Slices * 16, lane = cta.lane();
    const int lowest = past + (query0 + wave0) / group;  // position of the wave's first query
    const bool idle = query0 + wave0 >= rows * group;
    Softmax<W> softmax[Slices];
    FragOut<W> o[Slices][channels];

    for (int first = 0, stage = 0; first < end; first += Keys, stage ^= 1) {
      wait_copies<0>();
      cta.sync();  // this tile is here, and nobody reads the other stage any more
      if (first + Keys < end) fetch(s, a, first + Keys, stage ^ 1);
      if (idle) {
        fetch.look_up(first + 2 * Keys);
        continue;
      }
      FragOut<W> score[Slices][tiles];
      ATOM_UNROLL for (int c = 0; c < channels; ++c) {
        const int q_row = anew(wave0), k_row = anew(stage * Keys);
        FragIn<W> q[Slices];
        ATOM_UNROLL for (int m = 0; m < Slices; ++m) q[m] = load_a(cta, s.q, q_row + 16 * m, 16 * c);
        ATOM_UNROLL for (int t = 0; t < tiles; ++t) {
          const auto k = load_b(cta, s.k, k_row + 16 * t, 16 * c);
          ATOM_UNROLL for (int m = 0; m < Slices; ++m) mma_carried(cta, score[m][t], q[m], k);
        }
      }
      if (first + Keys - 1 > lowest)
        ATOM_UNROLL for (int m = 0; m < Slices; ++m) {
          int position[T::rows];
          ATOM_UNROLL for (int r = 0; r < T::rows; ++r) position[r] = past + (query0 + wave0 + 16 * m + T::row(lane, r)) / group;
          ATOM_UNROLL for (int t = 0; t < tiles; ++t) ATOM_UNROLL for (int i = 0; i < T::n; ++i)
            if (first + 16 * t + T::carried(lane, i).col > position[T::a_row(i)]) score[m][t].v[i] = -INFINITY;
        }
      ATOM_UNROLL for (int m = 0; m < Slices; ++m) softmax[m].add(cta, score[m], o[m], a.scale * 1.44269504f);
      fetch.look_up(first + 2 * Keys);
      const int v_row = anew(stage * Keys);
      ATOM_UNROLL for (int t = 0; t < tiles; ++t) {
        FragIn<W> p[Slices];
        ATOM_UNROLL for (int m = 0; m < Slices; ++m) p[m] = carry(score[m][t]);
        ATOM_UNROLL for (int c = 0; c < channels; ++c) {
          const auto v = load_b_transposed(cta, s.v, v_row + 16 * t, 16 * c);
          ATOM_UNROLL for (int m = 0; m < Slices; ++m) mma_carried(cta, o[m][c], p[m], v);
        }
      }
    }
    wait_copies<0>();
    if (!idle) finish(cta, a, anew(place.seq), anew(place.tile * queries + wave0), softmax, o);
  }

 private:
  struct Place {
    int seq, tile;
  };
  /// The block's tile, counted from the last of the last sequence; seq is -1 behind the first.
  template <class Cta> ATOM_DEVICE static Place find(Cta& cta, const Args& args, int group) {
    constexpr int W = Cta::wave;
    const int lane = cta.lane();
    int left = cta.block_y();
    for (int last = args.a.seqs - 1; last >= 0; last -= W) {
      const int seq = last - lane, rows = seq >= 0 ? args.a.first_row[seq + 1] - args.a.first_row[seq] : 0;
      const int tiles = args.skip_single && rows == 1 ? 0 : ceil_div(rows * group, queries);
      int sum = tiles;  // of this lane's sequence and those behind it
      for (int m = 1; m < W; m *= 2) {
        const int before = cta.shfl(sum, max(lane - m, 0));
        if (lane >= m) sum += before;
      }
      if (const std::uint64_t hit = cta.ballot(left < sum)) {
        const int at = std::countr_zero(hit);
        return {last - at, cta.shfl(sum - 1 - left, at)};
      }
      left -= cta.shfl(sum, W - 1);
    }
    return {-1, 0};
  }

  /// Divides by the sums and stores. Works out again where the wave is: the loop before needs every register.
  template <class Cta, int W>
  ATOM_DEVICE static void finish(Cta& cta, const auto& a, int seq, int first, Softmax<W> (&softmax)[Slices],
                                 FragOut<W> (&o)[Slices][channels]) {
    using T = Tile<W>;
    const int row0 = a.first_row[seq], rows = a.first_row[seq + 1] - row0, group = a.heads / anew(a.kv_heads);
    const int head0 = cta.block_x() * group;
    ATOM_UNROLL for (int m = 0; m < Slices; ++m) {
      softmax[m].finish(cta);
      ATOM_UNROLL for (int i = 0; i < T::n; i += T::run) {
        const At at = T::carried(cta.lane(), i);
        const int query = first + 16 * m + at.row, row = query / group;
        if (row >= rows) continue;
        const float inverse = 1 / softmax[m].sum[T::a_row(i)];
        bf16* to = row_of(a.o, row0 + row, a.heads * D) + (head0 + query % group) * D + at.col;
        ATOM_UNROLL for (int c = 0; c < channels; ++c) {
          vec<bf16, T::run> y;
          ATOM_UNROLL for (int j = 0; j < T::run; ++j) y.v[j] = bf16(o[m][c].v[i + j] * inverse);
          store<T::run>(to + 16 * c, y);
        }
      }
    }
  }

  /// What one thread copies of a tile: `copies` vectors of keys and as many of values, from pages that it looks up one tile ahead.
  template <int W> struct Fetch {
    static constexpr int step = threads(W) / chunks, copies = Keys / step;  // tokens between two copies
    static constexpr int count = step < page ? Keys / page : copies;
    static_assert(copies > 0 && (step % page == 0 || page % step == 0));
    int thread, context, kv_head;
    const int* table;
    int index[count];

    ATOM_DEVICE void look_up(int first) {
      ATOM_UNROLL for (int h = 0; h < count; ++h) {
        const int at = first + (step < page ? h * page : h * step + thread / chunks);
        index[h] = at < context ? table[at / page] : 0;
      }
    }
    ATOM_DEVICE void operator()(Shared& s, const auto& a, int first, int stage) const {
      const int me = anew(thread), token = me / chunks, channel = me % chunks * 8;
      ATOM_UNROLL for (int i = 0; i < copies; ++i) {
        const int row = token + step * i, t = first + row;
        const std::size_t at = layout::at(index[step < page ? step * i / page : i], kv_head, t % page, a.kv_heads) +
                               static_cast<std::size_t>(channel);
        copy_async<8>(s.k, stage * Keys + row, channel, a.k_pages + at, t < context);  // what lies behind may be anything
        copy_async<8>(s.v, stage * Keys + row, channel, a.v_pages + at, t < context);
      }
      commit_copies();
    }
  };

  template <class Cta>
  ATOM_DEVICE static void fetch_queries(Cta& cta, Shared& s, const auto& a, int query0, int rows, int row0, int kv_head, int group) {
    for (int i = cta.thread(); i < queries * chunks; i += cta.threads()) {
      const int query = query0 + i / chunks, c = i % chunks * 8, row = query / group, head = kv_head * group + query % group;
      const bool exists = row < rows;
      const bf16* from = row_of(a.q, row0 + (exists ? row : 0), a.ldq) + head * D + c;
      copy_async<8>(s.q, i / chunks, c, from, exists);
    }
  }
};

}  // namespace atom::gpu
