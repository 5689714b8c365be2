#pragma once
// Attention of one query row over a long context: its keys are split into chunks by the context's length alone, blocks take the
// chunks, and the last block to finish puts their answers together, chunk by chunk.
// One idea: what a chunk's answer is does not depend on who works it out, so a row's result does not depend on its batch; the
// query heads of a KV head are rows of the matrix unit, so every key is read once. A wave has its own pages and its own stages,
// and waits for nobody until the chunk's end.
#include "attention_tile.hpp"

namespace atom::gpu {

template <class A> struct DecodeArgs {
  A a;
  int lanes;    // blocks that share a row's chunks
  bool by_row;  // one slot per row, else per sequence, of which those with one row have work
};

/// Chunks of the pages from the one of token `least` to that of token end - 1: at least 128 tokens each, a multiple of what the
/// waves take at once, and at most `most` of them.
struct Chunks {
  int first, last, each, count;
  ATOM_DEVICE Chunks(int least, int end, int most) {
    first = least / kernels::page_tokens;
    last = ceil_div(end, kernels::page_tokens);
    each = max(8, ceil_div(ceil_div(last - first, most), 4) * 4);
    count = ceil_div(last - first, each);
  }
};

template <int D, int Stages> struct DecodeAttention {
  using Args = DecodeArgs<kernels::AttentionArgs<bf16, bf16>>;
  using layout = kernels::KvLayout<bf16, D>;
  static constexpr int waves = 4, heads = 16, page = layout::page, chunks = D / 8, channels = D / 16;
  static constexpr int threads(int wave) { return waves * wave; }
  struct Shared {
    union {
      swizzled<bf16, Stages * waves * 2 * page, D> kv;  // a stage: a wave's page of keys, then of values
      array<float, waves * heads, D> o;                 // at the end of a chunk
    };
    array<float, waves, heads> top, sum;
    array<int, 1> arrived;
  };

  /// Grid: (slots * KV heads * parts of their group, lanes).
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& args) const {
    constexpr int W = Cta::wave;
    using T = Tile<W>;
    const auto& a = args.a;
    auto& s = cta.template shared<Shared>();
    const int group = a.heads / a.kv_heads, parts = ceil_div(group, heads), most = kernels::attention_splits(a.kv_heads);
    const int part = cta.block_x() % parts, kv_head = cta.block_x() / parts % a.kv_heads, slot = cta.block_x() / parts / a.kv_heads;
    const int seq = args.by_row ? sequence_of(slot, a.first_row, a.seqs) : slot;
    const int end_row = a.first_row[seq + 1], row = args.by_row ? slot : a.first_row[seq];
    if (!args.by_row && end_row != row + 1) return;
    const int visible = a.context[seq] - end_row + row + 1;
    const int least = first_visible(visible - 1, a.window);
    const Chunks split(least, visible, most);
    if (cta.block_y() >= split.count) return;
    const int head0 = kv_head * group + part * heads, here = min(heads, group - part * heads);

    const int lane = cta.lane(), wave = cta.wave_id();
    FragIn<W> q[channels];
    ATOM_UNROLL for (int c = 0; c < channels; ++c) ATOM_UNROLL for (int i = 0; i < T::n; i += T::run) {
      const At at = T::a(lane, i);
      vec<bf16, T::run> x{};
      if (at.row < here) x = load<T::run>(row_of(a.q, row, a.ldq) + (head0 + at.row) * D + 16 * c + at.col);
      ATOM_UNROLL for (int j = 0; j < T::run; ++j) q[c].v[i + j] = x.v[j];
    }

    const int* const table = row_of(a.block_table, seq, a.table_stride);
    for (int chunk = cta.block_y(); chunk < split.count; chunk += args.lanes) {
      const int first = split.first + chunk * split.each + wave, last = min(split.last, split.first + (chunk + 1) * split.each);
      const int count = last > first ? ceil_div(last - first, waves) : 0;  // pages of this wave
      Softmax<W> softmax;
      FragOut<W> o[channels];
      int index = 0;  // lane l: the page of the wave's l-th step from here
      const auto fetch = [&](int n) {
        if (n < count) {
          if (n % W == 0 && n + lane < count) index = table[first + (n + lane) * waves];
          const std::size_t at = layout::at(cta.shfl(index, n % W), kv_head, 0, a.kv_heads);
          const int left = visible - (first + n * waves) * page, to = ((n % Stages) * waves + wave) * 2 * page;
          ATOM_UNROLL for (int i = lane; i < page * chunks; i += W) {
            const int t = i / chunks, c = i % chunks * 8;
            const std::size_t from = t < left ? at + static_cast<std::size_t>(t * D + c) : at;
            copy_async<8>(s.kv, to + t, c, a.k_pages + from, t < left);
            copy_async<8>(s.kv, to + page + t, c, a.v_pages + from, t < left);
          }
        }
        commit_copies();
      };
      for (int n = 0; n < Stages - 1; ++n) fetch(n);
      for (int n = 0; n < count; ++n) {
        fetch(n + Stages - 1);
        wait_copies<Stages - 1>();
        cta.wave_sync();
        const int at = ((n % Stages) * waves + wave) * 2 * page, token = (first + n * waves) * page;
        FragOut<W> score[1];
        ATOM_UNROLL for (int c = 0; c < channels; ++c) mma_carried(cta, score[0], q[c], load_b(cta, s.kv, at, 16 * c));
        if (token + page > visible || token < least) ATOM_UNROLL for (int i = 0; i < T::n; ++i) {
            const int t = token + T::carried(lane, i).col;
            if (t >= visible || t < least) score[0].v[i] = -INFINITY;
          }
        softmax.add(cta, score, o, a.scale * log2e);
        const FragIn<W> p = carry(score[0]);
        ATOM_UNROLL for (int c = 0; c < channels; ++c) mma_carried(cta, o[c], p, load_b_transposed(cta, s.kv, at + page, 16 * c));
        cta.wave_sync();
      }
      wait_copies<0>();
      softmax.finish(cta);
      cta.sync();  // stages become answers
      ATOM_UNROLL for (int i = 0; i < T::n; ++i) {
        const At at = T::carried(lane, i);
        if (at.row >= here) continue;
        ATOM_UNROLL for (int c = 0; c < channels; ++c) s.o.set(wave * heads + at.row, 16 * c + at.col, o[c].v[i]);
        if (at.col == 0) {
          s.top.set(wave, at.row, softmax.top[T::a_row(i)]);
          s.sum.set(wave, at.row, softmax.sum[T::a_row(i)]);
        }
      }
      cta.sync();
      for (int i = cta.thread(); i < here * D; i += cta.threads()) {
        const int h = i / D, c = i % D;
        float best = s.top.get(0, h), total = 0, value = 0;
        for (int w = 1; w < waves; ++w) best = max(best, s.top.get(w, h));
        for (int w = 0; w < waves; ++w) {
          const float keep = fast_exp2(s.top.get(w, h) - best);
          total += keep * s.sum.get(w, h);
          value += keep * s.o.get(w * heads + h, c);
        }
        if (split.count == 1) {
          total += sink_share(a.sinks, head0 + h, best);
          row_of(a.o, row, a.heads * D)[(head0 + h) * D + c] = bf16(value / total);
        } else {
          float* to = partial(a, slot, head0 + h, chunk, most);
          to[c] = value;
          if (c == 0) to[D] = best, to[D + 1] = total;
        }
      }
      cta.sync();
    }
    if (split.count > 1 && is_last(cta, s, a.arrivals + slot * a.kv_heads + kv_head, parts * min(args.lanes, split.count)))
      combine(cta, a, row, slot, kv_head * group, group, split.count, most);
  }

 private:
  /// Where a chunk's answer for one head lies: D channels not yet divided, their highest score, their sum.
  ATOM_DEVICE static float* partial(const auto& a, int slot, int head, int chunk, int most) {
    return a.partials + ((static_cast<std::ptrdiff_t>(slot) * a.heads + head) * most + chunk) * kernels::partial_width(D);
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
  ATOM_DEVICE static void combine(Cta& cta, const auto& a, int row, int slot, int head0, int group, int count, int most) {
    constexpr int N = 4;
    for (int i = cta.thread(); i < group * D / N; i += cta.threads()) {
      const int head = head0 + i * N / D, c = i * N % D;
      const float* from = partial(a, slot, head, 0, most);
      constexpr int stride = kernels::partial_width(D);
      float best = -INFINITY, total = 0, value[N] = {};
      for (int k = 0; k < count; ++k) best = max(best, from[k * stride + D]);
      for (int k = 0; k < count; ++k) {
        const float keep = fast_exp2(from[k * stride + D] - best);
        total += keep * from[k * stride + D + 1];
        const auto v = load<N>(from + k * stride + c);
        ATOM_UNROLL for (int j = 0; j < N; ++j) value[j] += keep * v.v[j];
      }
      total += sink_share(a.sinks, head, best);
      vec<bf16, N> y;
      ATOM_UNROLL for (int j = 0; j < N; ++j) y.v[j] = bf16(value[j] / total);
      store<N>(row_of(a.o, row, a.heads * D) + head * D + c, y);
    }
  }
};

}  // namespace atom::gpu
