// sample: no row is sorted. Many blocks share a row in three launches, and between them a block per row decides: segments find
// their most likely tokens (Top; nobody reads the row for that where its best is known), then count tokens by how likely they are
// beside the row's best (Count); which bins can the row's cuts fall into (Cut)? Segments list their tokens of those (List), and
// among them the cuts are exact (Draw). A short row is one segment, and one launch does it all (Alone). Greedy draws from rows
// whose best is known read nothing else (Known). best_tokens: segments of a row find their most likely tokens, and join them.
#include "atom/ops/sampling_gpu.hpp"

#include "best.hpp"
#include "sampling_cut.hpp"

namespace atom {
namespace sampling {

using Args = kernels::sample::args;

constexpr int segments(int vocab) { return gpu::ceil_div(vocab, segment); }
/// What a row's segments tell each other.
struct Scratch {
  u64* bins;       // count << 44 | sum of mantissas
  u64* best;       // of each segment
  Wanted* wanted;  // bins
  u64* list;       // keys of their tokens
  int* listed;     // how many there are by now

  static constexpr int wanted_ints = sizeof(Wanted) / sizeof(int);
  static constexpr int fixed(int vocab) { return 2 * bins_ + 2 * segments(vocab) + wanted_ints + 1; }
  static constexpr int capacity(int vocab) { return gpu::min(8192, (vocab - fixed(vocab)) / 2); }
  static constexpr int stride(int vocab) { return fixed(vocab) + 2 * capacity(vocab); }  // ints, even

  ATOM_DEVICE Scratch(const Args& a, int row) {
    int* p = gpu::row_of(a.order, row, stride(a.vocab));
    const int n = segments(a.vocab);
    bins = reinterpret_cast<u64*>(p);
    best = bins + bins_;
    wanted = reinterpret_cast<Wanted*>(best + n);
    listed = p + 2 * (bins_ + n) + wanted_ints;
    list = reinterpret_cast<u64*>(p + fixed(a.vocab));
  }

 private:
  static constexpr int bins_ = sampling::bins;
};
static_assert(Scratch::capacity(segment + 1) > 0 && Scratch::fixed(segment + 1) % 2 == 0);

template <class A> ATOM_DEVICE bool aligned(const A& a) { return gpu::vectors<4>(a.logits, a.ld); }

/// Logits of a segment, of which this thread has some.
using Part = Batch<4>;
template <class Cta, class A> ATOM_DEVICE Part part_of(Cta& cta, const A& a, int row, int part) {
  return {gpu::row_of(a.logits, row, a.ld), aligned(a), part * segment + 4 * cta.thread(), gpu::min((part + 1) * segment, a.vocab)};
}

using gpu::Best;
struct BestOfWaves {
  gpu::array<float, 16> logits;
  gpu::array<int, 16> ids;
};
/// The first of the largest of a segment; of nothing but NaN, none.
template <class Cta> ATOM_DEVICE Best best_of(Cta& cta, BestOfWaves& s, const Part& part) {
  Best b;
  part.each([&](int i, float logit) { b.take(logit, i); });
  b.of_lanes(cta, 1, Cta::wave);
  if (cta.lane() == 0) s.logits.set(cta.wave_id(), b.logit), s.ids.set(cta.wave_id(), b.id);
  cta.sync();
  for (int w = 0; w < Cta::waves(); ++w) b.take(s.logits.get(w), s.ids.get(w));
  return b;
}
/// Of a row: what is known, or from its segments.
template <class Cta> ATOM_DEVICE Best best_of(Cta& cta, const Args& a, const Scratch& scratch, int row) {
  if (a.best) return Best::from(a.best[row]);
  Best b;
  for (int i = cta.lane(); i < segments(a.vocab); i += Cta::wave) {
    const Best part = Best::from(scratch.best[i]);
    b.take(part.logit, part.id);
  }
  b.of_lanes(cta, 1, Cta::wave);
  return b;
}

/// A segment's most likely token joins its row's.
struct JoinBest {
  static constexpr int threads(int) { return block; }
  using Shared = BestOfWaves;
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const kernels::best_tokens::args& a) const {
    const int part = cta.block_x(), row = cta.block_y();
    const Best b = best_of(cta, cta.template shared<Shared>(), part_of(cta, a, row, part));
    if (cta.thread() == 0) cta.atomic_max(a.best + row, b.key());
  }
};

/// The most likely tokens of rows, a thread each.
struct Known {
  static constexpr int threads(int) { return gpu::row_threads; }
  struct Shared {};
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& a) const {
    if (const int row = cta.block_x() * cta.threads() + cta.thread(); row < a.rows)
      a.tokens[row] = kernels::BestToken::token(a.best[row]);
  }
};

/// A segment's most likely token, unless the row's is known; and the row's scratch is emptied.
struct Top {
  static constexpr bool cached = true;
  static constexpr int threads(int) { return block; }
  using Shared = BestOfWaves;
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& a) const {
    const int part = cta.block_x(), row = cta.block_y();
    const Scratch scratch(a, row);
    for (int b = part * block + cta.thread(); b < bins; b += segments(a.vocab) * block) scratch.bins[b] = 0;
    if (part == 0 && cta.thread() == 0) *scratch.listed = 0;
    if (a.best) return;
    const Best b = best_of(cta, cta.template shared<Shared>(), part_of(cta, a, row, part));
    if (cta.thread() == 0) scratch.best[part] = b.key();
  }
};

/// Tokens of a segment, by bin: how many, and the sum of the lower bits of their weights.
struct Counts {
  gpu::array<u32, bins> count, rest;

  template <class Cta> ATOM_DEVICE void clear(Cta& cta) {
    for (int b = cta.thread(); b < bins; b += block) count.set(b, 0), rest.set(b, 0);
    cta.sync();
  }
  template <class Cta> ATOM_DEVICE void take(Cta& cta, const Scale& scale, const Part& part) {
    part.each([&](int, float logit) {
      const u32 w = scale.weight(logit);
      const int b = Bin::of(w);
      if (!Bin::exists(b)) return;
      count.atomic_add(cta, b, u32{1});
      rest.atomic_add(cta, b, w & ((1u << below) - 1));
    });
    cta.sync();
  }
  ATOM_DEVICE Sum sum(int b) const {
    const u32 n = count.get(b);
    return {u64{n} * Bin::mantissa(Bin{b}.first_weight()) + rest.get(b), static_cast<int>(n)};
  }
};

/// A segment's tokens are added to its row's bins.
struct Count {
  static constexpr bool cached = true, starts_early = true;
  static constexpr int threads(int) { return block; }
  using Shared = Counts;
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& a) const {
    auto& s = cta.template shared<Shared>();
    const int row = cta.block_y();
    s.clear(cta);
    cta.after_previous();
    const float temperature = a.params[row].temperature;
    if (temperature == 0) return;
    const Scratch scratch(a, row);
    const Part logits = part_of(cta, a, row, cta.block_x());
    s.take(cta, {best_of(cta, a, scratch, row).logit, temperature}, logits);
    for (int b = cta.thread(); b < bins; b += block)
      if (const Sum sum = s.sum(b); sum.count != 0) cta.atomic_add(scratch.bins + b, static_cast<u64>(sum.count) << 44 | sum.mass);
  }
};

/// The sum of a bin of which all segments are counted.
ATOM_DEVICE Sum sum_of(const Scratch& scratch, int b) {
  const u64 sum = scratch.bins[b];
  return {sum & ((u64{1} << 44) - 1), static_cast<int>(sum >> 44)};
}

/// Which tokens are needed to draw one.
struct Cut {
  static constexpr bool cached = true;
  static constexpr int threads(int) { return block; }
  struct Shared {
    SearchShared search;
    gpu::array<int, 1> tokens;
  };
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& a) const {
    auto& s = cta.template shared<Shared>();
    const int row = cta.block_x();
    const kernels::SampleParams p = a.params[row];
    if (p.temperature == 0) return;
    const Scratch scratch(a, row);
    if (cta.thread() == 0) s.tokens.set(0, 0);
    const Bins<Cta> all(cta, s.search, [&](int b) { return sum_of(scratch, b); });
    Plan<Cta> plan{all, {}};
    drawn(plan, p);
    int tokens = 0;
    ATOM_UNROLL for (int i = 0; i < own; ++i) if (plan.wanted.has(all.first() + i)) tokens += all.mine[i].count;
    if (tokens != 0) s.tokens.atomic_add(cta, 0, tokens);
    cta.sync();
    if (cta.thread() != 0) return;
    plan.wanted.tokens = s.tokens.get(0) <= Scratch::capacity(a.vocab) ? s.tokens.get(0) : -1;
    *scratch.wanted = plan.wanted;
  }
};

/// A segment's tokens in the wanted bins join the list.
struct List {
  static constexpr bool cached = true;
  static constexpr int threads(int) { return block; }
  struct Shared {
    gpu::array<int, 1> tokens, first;
  };
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& a) const {
    auto& s = cta.template shared<Shared>();
    const int row = cta.block_y();
    const float temperature = a.params[row].temperature;
    if (temperature == 0) return;
    const Scratch scratch(a, row);
    const float* row_logits = gpu::row_of(a.logits, row, a.ld);
    const Part logits = part_of(cta, a, row, cta.block_x());
    const Wanted& wanted = *scratch.wanted;
    if (wanted.tokens <= 0) return;
    const Scale scale(best_of(cta, a, scratch, row).logit, temperature);
    if (cta.thread() == 0) s.tokens.set(0, 0);
    const Scale::Range range = wanted.range(scale);
    u32 ours = logits.which([&](float logit) { return scale.in(range, logit); });
    for (u32 rest = ours; rest != 0; rest &= rest - 1) {
      const u32 bit = rest & (0u - rest);
      if (!wanted.has(Bin::of(scale.weight(row_logits[logits.id(gpu::lowest_bit(bit))])))) ours ^= bit;
    }
    cta.sync();
    int at = ours != 0 ? s.tokens.atomic_add(cta, 0, gpu::count_bits(ours)) : 0;
    cta.sync();
    if (cta.thread() == 0) s.first.set(0, cta.atomic_add(scratch.listed, s.tokens.get(0)));
    cta.sync();
    for (at += s.first.get(0); ours != 0; ours &= ours - 1) {
      const int id = logits.id(gpu::lowest_bit(ours));
      scratch.list[at++] = Keys(a.vocab).of(row_logits[id], id);
    }
  }
};

struct DrawShared {
  SearchShared search;
  ExactShared exact;
};
template <class Cta, class F>
ATOM_DEVICE int token_of(Cta& cta, DrawShared& s, const Args& a, int row, const Best& best, const u64* list, int listed, F sum) {
  const kernels::SampleParams p = a.params[row];
  const Bins<Cta> all(cta, s.search, sum);
  Exact<Cta> exact{all,  s.exact, {best.logit, p.temperature}, Keys(a.vocab), gpu::row_of(a.logits, row, a.ld), a.vocab, aligned(a),
                   list, listed};
  return drawn(exact, p) ? exact.keys.id(exact.last) : best.token();
}

struct Draw {
  static constexpr bool cached = true;
  static constexpr int threads(int) { return block; }
  using Shared = DrawShared;
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& a) const {
    auto& s = cta.template shared<Shared>();
    const int row = cta.block_x();
    const Scratch scratch(a, row);
    const Best best = best_of(cta, a, scratch, row);
    int token = best.token();
    if (!a.greedy && a.params[row].temperature != 0)
      token = token_of(cta, s, a, row, best, scratch.list, scratch.wanted->tokens, [&](int b) { return sum_of(scratch, b); });
    if (cta.thread() == 0) a.tokens[row] = token;
  }
};

/// All of a short row.
struct Alone {
  static constexpr bool cached = true;
  static constexpr int threads(int) { return block; }
  struct Shared {
    BestOfWaves best;
    Counts counts;
    DrawShared draw;
  };
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& a) const {
    auto& s = cta.template shared<Shared>();
    const int row = cta.block_x();
    const Part logits = part_of(cta, a, row, 0);
    const Best best = best_of(cta, s.best, logits);
    int token = best.token();
    if (const float temperature = a.greedy ? 0 : a.params[row].temperature; temperature != 0) {
      s.counts.clear(cta);
      s.counts.take(cta, {best.logit, temperature}, logits);
      token = token_of(cta, s.draw, a, row, best, nullptr, -1, [&](int b) { return s.counts.sum(b); });
    }
    if (cta.thread() == 0) a.tokens[row] = token;
  }
};

}  // namespace sampling

template <gpu::Target B>
void impl<kernels::best_tokens, B>::run(typename B::stream stream, const kernels::best_tokens::args& a) noexcept {
  gpu::launch<sampling::JoinBest, B>(stream, {sampling::segments(a.vocab), a.rows}, a);
}

template <gpu::Target B> std::size_t impl<kernels::sample, B>::scratch_ints(int rows, int vocab) noexcept {
  using namespace sampling;
  return vocab <= segment ? 0 : static_cast<std::size_t>(rows) * static_cast<std::size_t>(Scratch::stride(vocab));
}

template <gpu::Target B> void impl<kernels::sample, B>::run(typename B::stream stream, const kernels::sample::args& a) noexcept {
  using namespace sampling;
  if (a.greedy && a.best) return gpu::launch<Known, B>(stream, {gpu::ceil_div(a.rows, gpu::row_threads), 1}, a);
  if (a.vocab <= segment) return gpu::launch<Alone, B>(stream, {a.rows, 1}, a);
  gpu::launch<Top, B>(stream, {segments(a.vocab), a.rows}, a);
  if (!a.greedy) {
    gpu::launch<Count, B>(stream, {segments(a.vocab), a.rows}, a);
    gpu::launch<Cut, B>(stream, {a.rows, 1}, a);
    gpu::launch<List, B>(stream, {segments(a.vocab), a.rows}, a);
  }
  gpu::launch<Draw, B>(stream, {a.rows, 1}, a);
}

}  // namespace atom

ATOM_GPU_KERNEL(atom::kernels::best_tokens);
ATOM_GPU_KERNEL(atom::kernels::sample);
