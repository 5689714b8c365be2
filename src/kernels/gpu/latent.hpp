#pragma once
// Attention over cached rows that serve as key and as value (a latent cache): all heads read the same row, so they are rows of
// the matrix unit, and a row is fetched once for all of them.
// One idea: the output is as wide as the row, more than one wave's registers. So the waves of a block share its queries: each
// has one tile of scores, 16 queries by 16 keys, and its own channels of every output; probabilities change hands in shared
// memory.
// To extend: a kernel for one chip is another functor with these arguments, chosen in mla.hip.
#include "attention_tile.hpp"

namespace atom::gpu {

/// What both kernels get; queries have been multiplied by the keys' weights.
struct LatentWork {
  const bf16* q;           // (rows, heads, N + R): of which the last R channels are read; row stride ldq
  bf16* u;                 // (rows, heads, C): queries, then in their places answers
  const bf16* pages;       // LatentLayout<bf16, C + R>
  const int* block_table;  // (seqs, table_stride)
  const int* first_row;    // (seqs + 1)
  const int* context;      // (seqs)
  float* partials;         // (rows or seqs, heads, latent_splits, latent_partial(C))
  int* arrivals;           // (rows or seqs, parts of the heads), zeros
  int rows, seqs, heads, ldq, nope, table_stride;
  float scale;
  int lanes;    // blocks that share a lone row's chunks
  bool by_row;  // one slot per row, else per sequence, of which those with one row have work
};
inline constexpr int latent_splits = 16;
constexpr int latent_partial(int c) { return c + 4; }

/// Slices of 16 queries; Keys rows of the cache per stage.
template <int C, int R, int Waves, int Slices, int Keys, int Stages> struct LatentCore {
  using layout = kernels::LatentLayout<bf16, C + R>;
  static constexpr int width = C + R, queries = 16 * Slices, keys = Keys, key_tiles = Keys / 16, page = layout::page,
                       chunks = width / 8;
  static constexpr int threads(int wave) { return Waves * wave; }
  static constexpr int channels = C / 16 / Waves;  // tiles of 16 channels that a wave has of the output
  static_assert(Slices * key_tiles <= Waves && C % (16 * Waves) == 0 && width % 16 == 0);
  struct Shared {
    array<bf16, queries, width + 8> q;  // neighbouring rows begin in different banks
    array<bf16, Stages * Keys, width + 8> rows;
    array<bf16, queries, Keys + 8> p;
    array<float, key_tiles, queries> top, sum;
    array<int, 1> arrived;
  };

  /// Softmax and output of all the block's queries: every wave has the softmax, and its own channels of the output.
  template <int W> struct State {
    using T = Tile<W>;
    float top[Slices][T::rows], sum[Slices][T::rows];
    FragOut<W> o[Slices][channels];
    ATOM_DEVICE State() {
      ATOM_UNROLL for (int m = 0; m < Slices; ++m) ATOM_UNROLL for (int r = 0; r < T::rows; ++r) top[m][r] = -INFINITY,
                                                                                                 sum[m][r] = 0;
    }
  };

  /// Queries query0 .. of a sequence, counted row by row and head by head; zeros behind the last row.
  template <class Cta>
  ATOM_DEVICE static void fetch_queries(Cta& cta, Shared& s, const LatentWork& a, int row0, int rows, int query0) {
    for (int i = cta.thread(); i < queries * chunks; i += cta.threads()) {
      const int query = query0 + i / chunks, c = i % chunks * 8, row = query / a.heads, head = query % a.heads;
      const bool exists = row < rows;
      const int at = row0 + (exists ? row : 0);
      const bf16* from = c < C ? a.u + (static_cast<std::ptrdiff_t>(at) * a.heads + head) * C + c
                               : row_of(a.q, at, a.ldq) + head * (a.nope + R) + a.nope + c - C;
      copy_async<8>(s.q, i / chunks, c, from, exists);
    }
  }

  /// Asks for the cached rows of tokens first .. first + Keys - 1; what is not in [0, end) becomes zeros.
  template <class Cta>
  ATOM_DEVICE static void fetch(Cta& cta, Shared& s, const LatentWork& a, const int* table, int first, int end, int stage) {
    for (int i = cta.thread(); i < Keys * chunks; i += cta.threads()) {
      const int row = i / chunks, c = i % chunks * 8, token = first + row;
      const bool exists = token < end;
      const bf16* from = exists ? a.pages + layout::at(table[token / page] * page + token % page) + c : a.pages;
      copy_async<8>(s.rows, stage * Keys + row, c, from, exists);
    }
    commit_copies();
  }

  /// Over tokens [begin, end). last(query): the last token that the block's query sees.
  template <class Cta, class Last>
  ATOM_DEVICE static void walk(Cta& cta, Shared& s, const LatentWork& a, const int* table, int begin, int end,
                               State<Cta::wave>& state, Last last) {
    constexpr int W = Cta::wave;
    using T = Tile<W>;
    const int lane = cta.lane(), wave = cta.wave_id();
    const bool scores = wave < Slices * key_tiles;
    const int my_slice = wave % Slices * 16, my_keys = wave / Slices * 16;  // of the wave's tile of scores
    int limit[T::rows];                                                     // the last token that this lane's queries see
    ATOM_UNROLL for (int r = 0; r < T::rows; ++r) limit[r] = min(end - 1, last(my_slice + T::row(lane, r)));
    for (int n = 0; n < Stages - 1; ++n) fetch(cta, s, a, table, begin + n * Keys, end, n);
    for (int first = begin, n = 0; first < end; first += Keys, ++n) {
      if constexpr (Stages == 1) {
        if (n > 0) cta.sync();
        fetch(cta, s, a, table, first, end, 0);
      }
      wait_copies<Stages == 1 ? 0 : Stages - 2>();
      cta.sync();  // this stage is here, and nobody reads the last one any more, nor its probabilities
      if constexpr (Stages > 1) fetch(cta, s, a, table, first + (Stages - 1) * Keys, end, (n + Stages - 1) % Stages);
      const int stage = n % Stages * Keys;

      FragOut<W> score;
      if (scores) {
        const int q_row = anew(my_slice), k_row = anew(stage + my_keys);
        ATOM_UNROLL for (int c = 0; c < width; c += 16)
            mma_carried(cta, score, load_a(cta, s.q, q_row, c), load_b(cta, s.rows, k_row, c));
        float top[T::rows];
        ATOM_UNROLL for (int r = 0; r < T::rows; ++r) top[r] = -INFINITY;
        ATOM_UNROLL for (int i = 0; i < T::n; ++i) {
          const int token = first + my_keys + T::carried(lane, i).col, r = T::a_row(i);
          score.v[i] = token <= limit[r] ? score.v[i] * (a.scale * log2e) : -INFINITY;
          top[r] = max(top[r], score.v[i]);
        }
        ATOM_UNROLL for (int r = 0; r < T::rows; ++r) {
          top[r] = max(top[r], cta.shfl_xor(top[r], T::next_group));
          top[r] = max(top[r], cta.shfl_xor(top[r], 2 * T::next_group));
          if (T::group(lane) == 0) s.top.set(my_keys / 16, my_slice + T::row(lane, r), top[r]);
        }
      }
      cta.sync();
      float keep[Slices][T::rows];
      ATOM_UNROLL for (int m = 0; m < Slices; ++m) ATOM_UNROLL for (int r = 0; r < T::rows; ++r) {
        float higher = state.top[m][r];
        ATOM_UNROLL for (int t = 0; t < key_tiles; ++t) higher = max(higher, s.top.get(t, 16 * m + T::row(lane, r)));
        keep[m][r] = fast_exp2(state.top[m][r] - (higher == -INFINITY ? 0.0f : higher));
        state.top[m][r] = higher;
      }
      if (scores) {
        float sum[T::rows] = {};
        ATOM_UNROLL for (int i = 0; i < T::n; ++i) {
          const int r = T::a_row(i);
          float top = -INFINITY;
          ATOM_UNROLL for (int m = 0; m < Slices; ++m) if (16 * m == my_slice) top = state.top[m][r];
          score.v[i] = fast_exp2(score.v[i] - (top == -INFINITY ? 0.0f : top));
          sum[r] += score.v[i];
        }
        ATOM_UNROLL for (int r = 0; r < T::rows; ++r) {
          sum[r] += cta.shfl_xor(sum[r], T::next_group);
          sum[r] += cta.shfl_xor(sum[r], 2 * T::next_group);
          if (T::group(lane) == 0) s.sum.set(my_keys / 16, my_slice + T::row(lane, r), sum[r]);
        }
        ATOM_UNROLL for (int i = 0; i < T::n; i += T::run) {
          const At at = T::carried(lane, i);
          vec<bf16, T::run> p;
          ATOM_UNROLL for (int j = 0; j < T::run; ++j) p.v[j] = bf16(score.v[i + j]);
          s.p.template store<T::run>(my_slice + at.row, my_keys + at.col, p);
        }
      }
      cta.sync();
      ATOM_UNROLL for (int m = 0; m < Slices; ++m) {
        ATOM_UNROLL for (int r = 0; r < T::rows; ++r) {
          state.sum[m][r] *= keep[m][r];
          ATOM_UNROLL for (int t = 0; t < key_tiles; ++t) state.sum[m][r] += s.sum.get(t, 16 * m + T::row(lane, r));
        }
        ATOM_UNROLL for (int c = 0; c < channels; ++c) ATOM_UNROLL for (int i = 0; i < T::n; ++i) state.o[m][c].v[i] *=
            keep[m][T::a_row(i)];
      }
      const int v_row = anew(stage), channel0 = anew(wave * channels * 16);
      ATOM_UNROLL for (int t = 0; t < key_tiles; ++t) {
        FragIn<W> p[Slices];
        ATOM_UNROLL for (int m = 0; m < Slices; ++m) p[m] = load_a(cta, s.p, 16 * m, 16 * t);
        ATOM_UNROLL for (int c = 0; c < channels; ++c) {
          const auto v = load_b_transposed(cta, s.rows, v_row + 16 * t, channel0 + 16 * c);
          ATOM_UNROLL for (int m = 0; m < Slices; ++m) mma_carried(cta, state.o[m][c], p[m], v);
        }
      }
    }
    wait_copies<0>();
  }

  /// put(query of the block, channel, T::run values, its top, its sum), for what this lane has.
  template <int W, class Cta, class Put> ATOM_DEVICE static void each(Cta& cta, const State<W>& state, Put put) {
    using T = Tile<W>;
    const int channel0 = cta.wave_id() * channels * 16;
    ATOM_UNROLL for (int m = 0; m < Slices; ++m) ATOM_UNROLL for (int i = 0; i < T::n; i += T::run) {
      const At at = T::carried(cta.lane(), i);
      const int r = T::a_row(i);
      ATOM_UNROLL for (int c = 0; c < channels; ++c) {
        vec<float, T::run> v;
        ATOM_UNROLL for (int j = 0; j < T::run; ++j) v.v[j] = state.o[m][c].v[i + j];
        put(16 * m + at.row, channel0 + 16 * c + at.col, v, state.top[m][r], state.sum[m][r]);
      }
    }
  }
};

/// channel .. of a row's head, divided.
template <int C, int N>
ATOM_DEVICE void put_answer(const LatentWork& a, int row, int head, int channel, const vec<float, N>& v, float factor) {
  vec<bf16, N> y;
  ATOM_UNROLL for (int j = 0; j < N; ++j) y.v[j] = bf16(v.v[j] * factor);
  store<N>(a.u + (static_cast<std::ptrdiff_t>(row) * a.heads + head) * C + channel, y);
}

/// Sequences of several rows: a block has so many queries, pairs of row and head. Grid: (tiles, 1), the longest walks first.
template <class Core, int C> struct LatentPrefill {
  using Shared = typename Core::Shared;
  static constexpr int queries = Core::queries;
  static constexpr int threads(int wave) { return Core::threads(wave); }

  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const LatentWork& a) const {
    auto& s = cta.template shared<Shared>();
    const auto tiles = [&](int i) {  // of the i-th sequence from the end
      const int rows = a.first_row[a.seqs - i] - a.first_row[a.seqs - i - 1];
      return rows == 1 ? 0 : ceil_div(rows * a.heads, queries);
    };
    const Picked tile = pick(cta, cta.block_x(), a.seqs, tiles);
    if (tile.of < 0) return;
    const int seq = a.seqs - 1 - tile.of, row0 = a.first_row[seq], rows = a.first_row[seq + 1] - row0, past = a.context[seq] - rows;
    const int query0 = (ceil_div(rows * a.heads, queries) - 1 - tile.part) * queries;
    const int end = past + min(rows, ceil_div(query0 + queries, a.heads));
    Core::fetch_queries(cta, s, a, row0, rows, query0);
    typename Core::template State<Cta::wave> state;
    Core::walk(cta, s, a, row_of(a.block_table, seq, a.table_stride), 0, end, state,
               [&](int query) { return past + (query0 + query) / a.heads; });
    Core::each(cta, state, [&](int query, int channel, const auto& v, float, float sum) {
      const int row = (query0 + query) / a.heads, head = (query0 + query) % a.heads;
      if (row < rows) put_answer<C>(a, row0 + row, head, channel, v, 1 / sum);
    });
  }
};

/// A lone row: its context is cut into chunks by its length alone, blocks take the chunks, and the last to finish puts their
/// answers together, chunk by chunk. Grid: (slots * parts of the heads, lanes).
template <class Core, int C> struct LatentDecode {
  using Shared = typename Core::Shared;
  static constexpr int queries = Core::queries, least = 128;  // tokens of a chunk
  static constexpr int threads(int wave) { return Core::threads(wave); }

  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const LatentWork& a) const {
    auto& s = cta.template shared<Shared>();
    const int parts = ceil_div(a.heads, queries), part = cta.block_x() % parts, slot = cta.block_x() / parts;
    const int seq = a.by_row ? sequence_of(slot, a.first_row, a.seqs) : slot;
    const int end_row = a.first_row[seq + 1], row = a.by_row ? slot : a.first_row[seq];
    if (!a.by_row && end_row != row + 1) return;
    const int visible = a.context[seq] - end_row + row + 1;
    const int each = max(least, ceil_div(ceil_div(visible, latent_splits), Core::keys) * Core::keys);
    const int count = ceil_div(visible, each);
    if (cta.block_y() >= count) return;
    const int head0 = part * queries, heads = min(queries, a.heads - head0);
    Core::fetch_queries(cta, s, a, row, 1, head0);
    for (int chunk = cta.block_y(); chunk < count; chunk += a.lanes) {
      typename Core::template State<Cta::wave> state;
      Core::walk(cta, s, a, row_of(a.block_table, seq, a.table_stride), chunk * each, min(visible, (chunk + 1) * each), state,
                 [&](int) { return visible - 1; });
      Core::each(cta, state, [&](int query, int channel, const auto& v, float top, float sum) {
        if (query >= heads) return;
        if (count == 1) return put_answer<C>(a, row, head0 + query, channel, v, 1 / sum);
        float* to = partial(a, slot, head0 + query, chunk);
        store(to + channel, v);
        if (channel == 0) to[C] = top, to[C + 1] = sum;
      });
      cta.sync();  // before the next chunk's rows come
    }
    if (count > 1 && is_last(cta, s, a.arrivals + slot * parts + part, min(a.lanes, count)))
      combine(cta, a, row, slot, head0, heads, count);
  }

 private:
  ATOM_DEVICE static float* partial(const LatentWork& a, int slot, int head, int chunk) {
    return a.partials + ((static_cast<std::ptrdiff_t>(slot) * a.heads + head) * latent_splits + chunk) * latent_partial(C);
  }
  /// Whether this block is the last of `blocks` to come here.
  template <class Cta> ATOM_DEVICE static bool is_last(Cta& cta, Shared& s, int* arrivals, int blocks) {
    cta.device_fence();
    cta.sync();
    if (cta.thread() == 0) s.arrived.set(0, cta.atomic_add(arrivals, 1));
    cta.sync();
    cta.device_fence();
    return s.arrived.get(0) == blocks - 1;
  }
  template <class Cta>
  ATOM_DEVICE static void combine(Cta& cta, const LatentWork& a, int row, int slot, int head0, int heads, int count) {
    constexpr int N = 4, stride = latent_partial(C);
    for (int i = cta.thread(); i < heads * C / N; i += cta.threads()) {
      const int head = head0 + i * N / C, c = i * N % C;
      const float* from = partial(a, slot, head, 0);
      float best = -INFINITY, total = 0;
      vec<float, N> value{};
      for (int k = 0; k < count; ++k) best = max(best, from[k * stride + C]);
      for (int k = 0; k < count; ++k) {
        const float keep = fast_exp2(from[k * stride + C] - best);
        total += keep * from[k * stride + C + 1];
        const auto v = load<N>(from + k * stride + c);
        ATOM_UNROLL for (int j = 0; j < N; ++j) value.v[j] += keep * v.v[j];
      }
      put_answer<C>(a, row, head, c, value, 1 / total);
    }
  }
};

}  // namespace atom::gpu
