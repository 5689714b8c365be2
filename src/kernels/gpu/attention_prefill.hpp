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
template <class Kv, int D, int Slices, int Keys> struct PrefillAttention {
  using Args = PrefillArgs<kernels::AttentionArgs<bf16, Kv>>;
  using layout = kernels::KvLayout<Kv, D>;
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
    const int begin = first_visible(past + query0 / group, a.window) / Keys * Keys;

    fetch_queries(cta, s, a, query0, rows, row0, kv_head, group);
    const int* const table = row_of(a.block_table, place.seq, a.table_stride);
    fetch(cta, s, a, table, context, begin, 0);

    const int wave0 = cta.wave_id() * Slices * 16, lane = cta.lane();
    const int lowest = past + (query0 + wave0) / group;  // position of the wave's first query; the last is within `span` of it
    constexpr int span = Slices * 16;
    const int wave_end = query0 + wave0 < rows * group ? past + (query0 + wave0 + span - 1) / group + 1 : 0;  // of what it sees
    Softmax<W> softmax[Slices];
    FragOut<W> o[Slices][channels];

    for (int first = begin, stage = 0; first < end; first += Keys, stage ^= 1) {
      wait_copies<0>();
      cta.sync();  // this tile is here, and nobody reads the other stage any more
      if (first + Keys < end) fetch(cta, s, a, table, context, first + Keys, stage ^ 1);
      if (first >= wave_end) continue;
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
      if (first + Keys - 1 > lowest || (a.window > 0 && first < lowest + span - a.window))
        ATOM_UNROLL for (int m = 0; m < Slices; ++m) {
          int last[T::rows], least[T::rows];
          ATOM_UNROLL for (int r = 0; r < T::rows; ++r) {
            last[r] = past + (query0 + wave0 + 16 * m + T::row(lane, r)) / group;
            least[r] = first_visible(last[r], a.window);
          }
          ATOM_UNROLL for (int t = 0; t < tiles; ++t) ATOM_UNROLL for (int i = 0; i < T::n; ++i) {
            const int token = first + 16 * t + T::carried(lane, i).col, r = T::a_row(i);
            if (token > last[r] || token < least[r]) score[m][t].v[i] = -INFINITY;
          }
        }
      ATOM_UNROLL for (int m = 0; m < Slices; ++m) softmax[m].add(cta, score[m], o[m], a.scale * log2e);
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
    if (wave_end > 0) finish(cta, a, anew(place.seq), anew(place.tile * queries + wave0), softmax, o);
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
        const int at = lowest_bit(hit);
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
        const int head = head0 + query % group, r = T::a_row(i);
        const float inverse = 1 / (softmax[m].sum[r] + sink_share(a.sinks, head, softmax[m].top[r]));
        bf16* to = row_of(a.o, row0 + row, a.heads * D) + head * D + at.col;
        ATOM_UNROLL for (int c = 0; c < channels; ++c) {
          vec<bf16, T::run> y;
          ATOM_UNROLL for (int j = 0; j < T::run; ++j) y.v[j] = bf16(o[m][c].v[i + j] * inverse);
          store<T::run>(to + 16 * c, y);
        }
      }
    }
  }

  /// Asks for the tile's keys and values. What lies behind the context may be anything, and becomes zeros.
  template <class Cta>
  ATOM_DEVICE static void fetch(Cta& cta, Shared& s, const auto& a, const int* table, int context, int first, int stage) {
    if constexpr (kernels::has_scales<Kv>) {
      decode(cta, s, a, table, context, first, stage);
    } else {
      const unsigned me = static_cast<unsigned>(anew(cta.thread()));
      const int kv_head = cta.block_x(), channel = static_cast<int>(me % chunks) * 8;
      ATOM_UNROLL for (int i = 0; i < Keys * chunks / Cta::threads(); ++i) {
        const int row = static_cast<int>(me / chunks) + i * (Cta::threads() / chunks), token = first + row;
        const bool exists = token < context;
        const std::size_t at = layout::at(exists ? table[token / page] : 0, kv_head, token % page, a.kv_heads);
        copy_async<8>(s.k, stage * Keys + row, channel, a.k_pages + at + channel, exists);
        copy_async<8>(s.v, stage * Keys + row, channel, a.v_pages + at + channel, exists);
      }
    }
    commit_copies();  // the queries' too
  }

  /// The same of codes, which are here when it returns.
  template <class Cta>
  ATOM_DEVICE static void decode(Cta& cta, Shared& s, const auto& a, const int* table, int context, int first, int stage) {
    const int kv_head = cta.block_x();
    const auto me = static_cast<unsigned>(anew(cta.thread()));
    const auto rows_of = [&](const typename layout::element* pages) {
      return [=, &a](int row) -> CodedRow<typename layout::element> {
        const int token = first + row, index = token < context ? table[token / page] : 0;
        return {pages + layout::at(index, kv_head, token % page, a.kv_heads),
                pages + layout::scale_at(index, kv_head, token % page, a.kv_heads), token < context};
      };
    };
    decode_rows<typename layout::element, D, Keys, Cta::threads()>(s.k, stage * Keys, me, rows_of(a.k_pages));
    decode_rows<typename layout::element, D, Keys, Cta::threads()>(s.v, stage * Keys, me, rows_of(a.v_pages));
  }

  template <class Cta>
  ATOM_DEVICE static void fetch_queries(Cta& cta, Shared& s, const auto& a, int query0, int rows, int row0, int kv_head,
                                        int group) {
    for (int i = cta.thread(); i < queries * chunks; i += cta.threads()) {
      const int query = query0 + i / chunks, c = i % chunks * 8, row = query / group, head = kv_head * group + query % group;
      const bool exists = row < rows;
      const bf16* from = row_of(a.q, row0 + (exists ? row : 0), a.ldq) + head * D + c;
      copy_async<8>(s.q, i / chunks, c, from, exists);
    }
  }
};

}  // namespace atom::gpu
