#pragma once
// Attention of one query row over a long context: its keys are split into chunks, by the context's length and the number of rows.
// As many blocks as the device holds share the chunks evenly, each those of neighbouring rows for one KV head; whoever finishes the
// last chunk of a row and head puts the answers of its chunks together, in their order.
// One idea: a block's copies run ahead of its products across chunks and rows, so that memory is busy from its first chunk to its
// last, and neighbouring blocks have the heads of one page, which lie side by side. What a chunk's answer is does not depend on who
// works it out. The query heads of a KV head are rows of the matrix unit, so every key is read once. A wave has its own pages and
// its own stages, and waits for nobody until a chunk's end.
#include "attention_pages.hpp"

namespace atom::gpu {

template <class A> struct DecodeArgs {
  A a;
  int slots;    // rows, or sequences
  int shares;   // blocks of one head
  int parts;    // of a group: a block has at most Heads of its heads
  int least;    // quads of a chunk
  bool by_row;  // a slot per row, else per sequence, of which those with one row have work
};

/// Heads: of a KV head's group, that a block keeps at most: 8 or 16.
template <class Kv, int D, int Heads, int Stages> struct DecodeAttention {
  using Args = DecodeArgs<kernels::AttentionArgs<bf16, Kv>>;
  using layout = kernels::KvLayout<Kv, D>;
  static constexpr int waves = 4, page = layout::page, channels = D / 16, at_once = 32;
  static constexpr bool starts_early = true;
  static constexpr int threads(int wave) { return waves * wave; }
  using Pages = StagedPages<Kv, D, Stages, waves>;
  using Answers = array<float, waves * Heads, D + 4>;  // of a chunk, wave by wave, in the order of the products' columns
  struct Apart {
    typename Pages::Shared pages;
    Answers o;
  };
  struct Together {
    union {
      typename Pages::Shared pages;
      Answers o;
    };
  };
  struct Shared : std::conditional_t<Stages == 1, Together, Apart> {  // with one stage nothing is on its way at a chunk's end
    array<float, waves, Heads> top, sum;
    array<int, at_once> ours;  // chunks of the rows that this block puts together
  };

  /// Grid: (KV heads * parts, shares).
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& args) const {
    constexpr int W = Cta::wave;
    using T = Tile<W>;
    const auto& a = args.a;
    auto& s = cta.template shared<Shared>();
    const int lane = cta.lane(), wave = cta.wave_id(), group = a.heads / a.kv_heads;
    const int kv_head = cta.block_x() / args.parts, first_of_group = cta.block_x() % args.parts * Heads;
    const int head0 = kv_head * group + first_of_group, here = min(Heads, group - first_of_group);
    Walk use = share(cta, args);
    const Walk all = use;

    Walk next = use;                                 // what is asked for
    int to = 0, index = 0, held_slot = 0, held = 0;  // lane l: the wave's page of quad held + l of that slot
    const auto look_up = [&] {
      const Row& r = next.row;
      held_slot = r.slot;
      held = next.quad;
      const int at = r.first + (held + lane) * waves + wave;
      if (at * page < r.visible) index = row_of(a.block_table, r.seq, a.table_stride)[at];
    };
    const auto fetch = [&] {
      if (next.left > 0) {
        const Row& r = next.row;
        if (held_slot != r.slot || next.quad < held || next.quad >= held + W) look_up();
        const int left = r.visible - (r.first + next.quad * waves + wave) * page;
        const int of_cache = cta.shfl(index, next.quad - held);
        if (left > 0) Pages::fetch(cta, s.pages, to, a, {layout::at(of_cache, kv_head, 0, a.kv_heads), left});
        step(next, args);
      }
      commit_copies();
      to = to + 1 == Stages ? 0 : to + 1;
    };
    if (use.left > 0) look_up();
    // Pages that this step does not write are there before the kernels in front are done: every stage is asked for, so that memory
    // has work until the last of those ends.
    int asked = 0;
    const auto written = [&] {
      const int first = (next.row.first + next.quad * waves + wave) * page;
      return next.left > 0 && first + page > next.row.fresh && first < next.row.visible;
    };
    for (; asked < Stages && !written(); ++asked) fetch();
    cta.after_previous();
    if (use.left == 0) return wait_copies<0>();
    for (; asked < Stages - 1; ++asked) fetch();

    FragIn<W> q[channels];
    FragOut<W> o[channels];
    Softmax<W> softmax;
    int slot = -1;
    bool split = false;  // whether any of the rows has parts that others bring
    for (int from = 0; use.left > 0; from = from + 1 == Stages ? 0 : from + 1) {
      const Row& r = use.row;
      if (r.slot != slot)
        ATOM_UNROLL for (int c = 0; c < channels; ++c) q[c] = Pages::query(cta, row_of(a.q, r.row, a.ldq) + head0 * D, c, here);
      slot = r.slot;
      if (asked == Stages)
        asked = 0;  // the last stage is on its way
      else
        fetch();
      wait_copies<Stages - 1>();
      cta.wave_sync();
      const int token = (r.first + use.quad * waves + wave) * page;
      if (token < r.visible) {
        FragOut<W> score[1];
        Pages::scores(cta, s.pages, from, q, score[0]);
        if (token + page > r.visible || token < r.least) ATOM_UNROLL for (int i = 0; i < T::n; ++i) {
            const int t = token + T::carried(lane, i).col;
            if (t >= r.visible || t < r.least) score[0].v[i] = -INFINITY;
          }
        softmax.add(cta, score, o, a.scale * log2e);
        Pages::values(cta, s.pages, from, r.visible - token, score[0], o);
      }
      cta.wave_sync();
      if (use.quad + 1 == use.end) {
        split = split || r.chunks > 1;
        keep(cta, s, softmax, o, here);
        answer(cta, s, args, use, head0, here);
        softmax = {};
        ATOM_UNROLL for (int c = 0; c < channels; ++c) o[c] = {};
      }
      step(use, args);
    }
    wait_copies<0>();
    if (split) put_together(cta, s, args, all, use, kv_head, group);
  }

 private:
  /// The query of a slot, and how its context is cut: a quad is a page for each wave, a chunk is a number of quads.
  struct Row {
    int slot, row, seq, visible, least;
    int fresh;                 // the first position that this step writes
    int first, quads, chunks;  // the first page that is seen; no chunks: not this kernel's
  };
  ATOM_DEVICE static Row row_at(const Args& args, int slot) {
    const auto& a = args.a;
    int seq = slot, begin = a.first_row[slot], end = a.first_row[slot + 1], context = a.context[slot];  // all asked for at once
    if (args.by_row && (begin != slot || end != slot + 1)) {
      seq = sequence_of(slot, a.first_row, a.seqs);
      begin = a.first_row[seq], end = a.first_row[seq + 1], context = a.context[seq];
    }
    const int row = args.by_row ? slot : begin;
    const int visible = context - end + row + 1, least = first_visible(visible - 1, a.window), first = least / page;
    const int quads = ceil_div(ceil_div(visible, page) - first, waves), most = kernels::attention_splits(a.kv_heads);
    return {slot,    row,   seq,
            visible, least, context - (end - begin),
            first,   quads, args.by_row || end == row + 1 ? max(1, min(quads / args.least, most)) : 0};
  }
  /// The next row with work; there must be one.
  ATOM_DEVICE static Row row_behind(const Args& args, Row r) {
    do r = row_at(args, r.slot + 1);
    while (r.chunks == 0);
    return r;
  }

  /// The block's way through its chunks.
  struct Walk {
    Row row;
    int chunk, quad, end, left;  // end: of the chunk; left: chunks, this one included
  };
  /// To the first quad of its chunk: the row's first chunks have one more than the rest.
  ATOM_DEVICE static void enter(Walk& w) {
    const int each = w.row.quads / w.row.chunks, longer = w.row.quads - each * w.row.chunks;
    w.quad = each * w.chunk + min(w.chunk, longer);
    w.end = w.quad + each + (w.chunk < longer);
  }
  ATOM_DEVICE static void step(Walk& w, const Args& args) {
    if (++w.quad < w.end || --w.left == 0) return;
    if (++w.chunk == w.row.chunks) {
      w.chunk = 0;
      w.row = row_behind(args, w.row);
    }
    enter(w);
  }

  /// Where this block begins, and how far it goes. Every wave works it out.
  template <class Cta> ATOM_DEVICE static Walk share(Cta& cta, const Args& args) {
    constexpr int W = Cta::wave;
    const int lane = cta.lane();
    const auto chunks_of = [&](int slot) { return slot < args.slots ? row_at(args, slot).chunks : 0; };
    const int firsts = chunks_of(lane);
    int all = firsts;
    for (int slot = lane + W; slot - lane < args.slots; slot += W) all += chunks_of(slot);
    for (int m = W / 2; m > 0; m /= 2) all += cta.shfl_xor(all, m);
    // As many for each block, so that none has one more than it must; the last blocks may have none.
    const int each = ceil_div(all, args.shares);
    int from = each * cta.block_y();
    Walk w{};
    w.left = max(min(each, all - from), 0);
    if (w.left == 0) return w;
    for (int first = 0;; first += W) {
      const int mine = first == 0 ? firsts : chunks_of(first + lane);
      int sum = mine;  // of this lane's slot and those in front of it
      for (int m = 1; m < W; m *= 2) {
        const int before = cta.shfl(sum, max(lane - m, 0));
        if (lane >= m) sum += before;
      }
      if (const std::uint64_t hit = cta.ballot(from < sum)) {
        const int at = lowest_bit(hit);
        from -= cta.shfl(sum - mine, at);
        w.row = row_at(args, first + at);
        break;
      }
      from -= cta.shfl(sum, W - 1);
    }
    w.chunk = from;
    enter(w);
    return w;
  }

  /// A wave's answer for a chunk.
  template <class Cta, int W>
  ATOM_DEVICE static void keep(Cta& cta, Shared& s, Softmax<W>& softmax, const FragOut<W> (&o)[channels], int here) {
    using T = Tile<W>;
    const int wave = cta.wave_id();
    softmax.finish(cta);
    if constexpr (Stages == 1) cta.sync();  // pages become answers
    ATOM_UNROLL for (int i = 0; i < T::n; ++i) {
      const At at = T::carried(cta.lane(), i);
      if (at.row >= here) continue;
      ATOM_UNROLL for (int c = 0; c < channels; ++c) s.o.set(wave * Heads + at.row, 16 * c + at.col, o[c].v[i]);
      if (at.col == 0) {
        s.top.set(wave, at.row, softmax.top[T::a_row(i)]);
        s.sum.set(wave, at.row, softmax.sum[T::a_row(i)]);
      }
    }
    cta.sync();
  }
  /// The chunk's answer, from those of its waves: the row's, if it is the only one.
  template <class Cta> ATOM_DEVICE static void answer(Cta& cta, Shared& s, const Args& args, const Walk& w, int head0, int here) {
    const auto& a = args.a;
    ATOM_UNROLL for (int j = 0; j < Heads * D; j += Cta::threads()) {
      const int i = cta.thread() + j, h = i / D, c = Pages::template channel<Cta::wave>(i % D);
      if (h >= here) continue;
      float best = s.top.get(0, h), total = 0, value = 0;
      for (int v = 1; v < waves; ++v) best = max(best, s.top.get(v, h));
      for (int v = 0; v < waves; ++v) {
        const float share = fast_exp2(s.top.get(v, h) - best);
        total += share * s.sum.get(v, h);
        value += share * s.o.get(v * Heads + h, i % D);
      }
      if (w.row.chunks == 1) {
        total += sink_share(a.sinks, head0 + h, best);
        row_of(a.o, w.row.row, a.heads * D)[(head0 + h) * D + c] = bf16(value / total);
      } else {
        float* to = partial(a, w.row.slot, head0 + h, w.chunk);
        to[c] = value;
        if (c == 0) to[D] = best, to[D + 1] = total;
      }
    }
    cta.sync();
  }

  /// Where a chunk's answer for one head lies: D channels not yet divided, their highest score, their sum.
  ATOM_DEVICE static float* partial(const auto& a, int slot, int head, int chunk) {
    const auto first = (static_cast<std::ptrdiff_t>(slot) * a.heads + head) * kernels::attention_splits(a.kv_heads);
    return a.partials + (first + chunk) * kernels::partial_width(D);
  }

  /// The rows of a walk that is done, from its first chunk to its last: who brings a row's last chunks puts it together, and leaves
  /// its counter as it was.
  template <class Cta>
  ATOM_DEVICE static void put_together(Cta& cta, Shared& s, const Args& args, const Walk& begin, const Walk& end, int kv_head,
                                       int group) {
    constexpr int N = 4;
    const auto& a = args.a;
    const int first = begin.row.slot, last = end.row.slot, vectors_of_row = group * D / N;
    for (int base = first; base <= last; base += at_once) {
      const int slots = min(at_once, last - base + 1), mine = base + cta.thread();
      int chunks = 0, brought = 0;
      if (cta.thread() < slots) {
        chunks = row_at(args, mine).chunks;
        brought = (mine == last ? end.chunk + 1 : chunks) - (mine == first ? begin.chunk : 0);
      }
      if (base == first) {
        cta.device_fence();
        cta.sync();
      }
      if (cta.thread() < slots) {
        const int wanted = args.parts * chunks;
        int there = brought;
        if (brought < wanted) {
          int* const arrivals = a.arrivals + mine * a.kv_heads + kv_head;
          there = cta.atomic_add(arrivals, brought) + brought;
          if (there == wanted) *arrivals = 0;
        }
        s.ours.set(cta.thread(), chunks > 1 && there == wanted ? chunks : 0);
      }
      cta.sync();
      cta.device_fence();
      for (int i = cta.thread(); i < slots * vectors_of_row; i += cta.threads())
        if (const int parts = s.ours.get(i / vectors_of_row); parts > 0) {
          const int slot = base + i / vectors_of_row, c = i % vectors_of_row * N, row = args.by_row ? slot : a.first_row[slot];
          combine<N>(a, slot, row, parts, kv_head * group + c / D, c % D);
        }
      cta.sync();
    }
  }

  /// N channels of a row's head.
  template <int N> ATOM_DEVICE static void combine(const auto& a, int slot, int row, int chunks, int head, int c) {
    constexpr int batch = 8, stride = kernels::partial_width(D);  // chunks that are asked for at once
    const float* from = partial(a, slot, head, 0);
    float best = -INFINITY, total = 0, value[N] = {};
    for (int k = 0; k < chunks; k += batch) {
      vec<float, 2> seen[batch];  // highest score and sum
      vec<float, N> v[batch];
      ATOM_UNROLL for (int b = 0; b < batch; ++b) {
        const float* at = from + min(k + b, chunks - 1) * stride;
        seen[b] = load<2>(at + D), v[b] = load<N>(at + c);
      }
      ATOM_UNROLL for (int b = 0; b < batch; ++b) {
        if (k + b >= chunks) continue;
        const float higher = max(best, seen[b].v[0]), keep = fast_exp2(best - higher), share = fast_exp2(seen[b].v[0] - higher);
        best = higher;
        total = total * keep + share * seen[b].v[1];
        ATOM_UNROLL for (int j = 0; j < N; ++j) value[j] = value[j] * keep + share * v[b].v[j];
      }
    }
    total += sink_share(a.sinks, head, best);
    vec<bf16, N> y;
    ATOM_UNROLL for (int j = 0; j < N; ++j) y.v[j] = bf16(value[j] / total);
    store<N>(row_of(a.o, row, a.heads * D) + head * D + c, y);
  }
};

}  // namespace atom::gpu
