// sample: no row is sorted. First each segment of a row finds its most likely token; then each counts its tokens by how likely they
// are beside the row's best; then a block per row draws from the counts. A short row is one segment, and one launch does it all.
// Floats that share their upper bits add up exactly, as integers: a bin is such a range of weights, and what it holds does not
// depend on the order in which threads and blocks add to it. A cut (the k-th token, the token at which a sum is reached) is found
// among the bins first, then among the tokens of one bin.
#include "atom/ops/random.hpp"
#include "atom/ops/sampling_gpu.hpp"

#include "rows.hpp"

namespace atom {
namespace {

using Args = kernels::sample::args;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr int block = 512;     // threads
constexpr int segment = 8192;  // logits of a row that one block reads; what it adds up fits into 32 bits
constexpr int below = 17;      // bits of a weight's float that tokens of one bin may differ in: 64 bins an octave
constexpr int octaves = 40;    // of weights from 1, the most likely, down; less is nothing: uniform() has 24 bits
constexpr int bins = octaves << (23 - below), own = bins / block;
constexpr u32 one = 0x3f800000 >> below;  // 1.0f
static_assert(own * block == bins);

constexpr int segments(int vocab) { return gpu::ceil_div(vocab, segment); }
// Scratch of a row, in ints: what its bins hold, and the best of each segment.
constexpr int scratch_stride(int vocab) { return 2 * bins + 2 * segments(vocab); }
struct Scratch {
  u64* bins;  // count << 44 | sum of mantissas
  float* logits;
  int* ids;
};
ATOM_DEVICE Scratch scratch_of(const Args& a, int row) {
  int* p = gpu::row_of(a.order, row, scratch_stride(a.vocab));
  const int n = segments(a.vocab);
  return {reinterpret_cast<u64*>(p), reinterpret_cast<float*>(p + 2 * bins), p + 2 * bins + n};
}

/// Logits that a thread reads at once: vectors, a block apart.
template <int Vectors> struct Batch {
  static constexpr int vectors = Vectors, size = 4 * vectors, step = size * block;
  gpu::vec<float, 4> v[vectors];
  ATOM_DEVICE static int offset(int e) { return e / 4 * 4 * block + e % 4; }
  /// From i, a multiple of 4, on; what lies behind `to` is 0.
  ATOM_DEVICE Batch(const float* logits, bool aligned, int i, int to) {
    const auto at = [&](int u) { return i + 4 * u * block; };
    if (aligned && at(vectors - 1) + 4 <= to)
      ATOM_UNROLL for (int u = 0; u < vectors; ++u) v[u] = gpu::load<4>(logits + at(u));
    else
      ATOM_UNROLL for (int u = 0; u < vectors; ++u) v[u] = gpu::load_some<4>(logits + at(u), to - at(u));
  }
};
ATOM_DEVICE bool aligned(const Args& a) { return gpu::vectors<4>(a.logits, a.ld); }

/// f(i, logit) for i in [from, to), from being a multiple of 4.
template <class Cta, class F> ATOM_DEVICE void each(Cta& cta, const Args& a, const float* logits, int from, int to, F f) {
  using Few = Batch<4>;
  for (int i = from + 4 * cta.thread(); i < to; i += Few::step) {
    const Few batch(logits, aligned(a), i, to);
    ATOM_UNROLL for (int e = 0; e < Few::size; ++e) if (i + Few::offset(e) < to) f(i + Few::offset(e), batch.v[e / 4].v[e % 4]);
  }
}

struct Best {
  float logit = -INFINITY;
  int id = 0x7fffffff;
  ATOM_DEVICE void take(float l, int i) {
    if (l > logit || (l == logit && i < id)) logit = l, id = i;
  }
};
template <int Waves> struct BestOfWaves {
  gpu::array<float, Waves> logits;
  gpu::array<int, Waves> ids;
};
/// The first of the largest of a range; of nothing but NaN, none.
template <class Cta, class S> ATOM_DEVICE Best best_of(Cta& cta, S& s, const Args& a, const float* logits, int from, int to) {
  Best b;
  each(cta, a, logits, from, to, [&](int i, float logit) { b.take(logit, i); });
  for (int m = Cta::wave / 2; m > 0; m /= 2) {
    const float logit = cta.shfl_xor(b.logit, m);
    const int id = cta.shfl_xor(b.id, m);
    b.take(logit, id);
  }
  if (cta.lane() == 0) s.logits.set(cta.wave_id(), b.logit), s.ids.set(cta.wave_id(), b.id);
  cta.sync();
  for (int w = 0; w < Cta::waves(); ++w) b.take(s.logits.get(w), s.ids.get(w));
  return b;
}

/// Of a row, from its segments.
ATOM_DEVICE Best best_of(const Scratch& scratch, int vocab) {
  Best b;
  for (int i = 0; i < segments(vocab); ++i) b.take(scratch.logits[i], scratch.ids[i]);
  return b;
}

/// A segment's most likely token; and the row's bins are emptied.
struct Top {
  static constexpr bool cached = true;
  static constexpr int threads(int) { return block; }
  using Shared = BestOfWaves<16>;
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& a) const {
    const int part = cta.block_x(), row = cta.block_y(), parts = segments(a.vocab), from = part * segment;
    const Scratch scratch = scratch_of(a, row);
    for (int b = part * block + cta.thread(); b < bins; b += parts * block) scratch.bins[b] = 0;
    const Best b =
        best_of(cta, cta.template shared<Shared>(), a, gpu::row_of(a.logits, row, a.ld), from, gpu::min(from + segment, a.vocab));
    if (cta.thread() != 0) return;
    scratch.logits[part] = b.logit;
    scratch.ids[part] = b.id;
  }
};

/// exp((logit - top) / temperature), as the bits of a float.
ATOM_DEVICE u32 weight_of(float logit, float top, float temperature) {
  return std::bit_cast<u32>(gpu::exp((logit - top) / temperature));
}

/// How many tokens, and the sum of their weights.
struct Sum {
  u64 mass = 0;
  int count = 0;
  ATOM_DEVICE Sum& operator+=(const Sum& o) {
    mass += o.mass;
    count += o.count;
    return *this;
  }
  ATOM_DEVICE u64 measure(bool by_mass) const { return by_mass ? mass : static_cast<u64>(count); }
};

/// What there is to know about bin b. Sums inside a bin are of mantissas; 2^shift of the common unit, 2^-43, are one of those.
struct Bin {
  int b;
  ATOM_DEVICE static int of(u32 weight) { return static_cast<int>(one - (weight >> below)); }
  ATOM_DEVICE static bool exists(int b) { return static_cast<unsigned>(b) < bins; }
  ATOM_DEVICE static u32 mantissa(u32 weight) { return 0x800000u | (weight & 0x7fffffu); }
  ATOM_DEVICE u32 first_weight() const { return (one - static_cast<u32>(b)) << below; }
  ATOM_DEVICE int shift() const { return static_cast<int>(first_weight() >> 23) - 127 + 20; }
  ATOM_DEVICE Sum common(const Sum& s) const { return {shift() >= 0 ? s.mass << shift() : s.mass >> -shift(), s.count}; }
  /// The least sum of mantissas that is `mass` in the common unit.
  ATOM_DEVICE u64 reaching(u64 mass) const { return shift() >= 0 ? (mass + (u64{1} << shift()) - 1) >> shift() : mass << -shift(); }
};

/// Tokens of a range, by bin: how many, and the sum of the lower bits of their weights.
struct Counts {
  gpu::array<u32, bins> count, rest;

  template <class Cta>
  ATOM_DEVICE void take(Cta& cta, const Args& a, const float* logits, float top, float temperature, int from, int to) {
    for (int b = cta.thread(); b < bins; b += block) count.set(b, 0), rest.set(b, 0);
    cta.sync();
    each(cta, a, logits, from, to, [&](int, float logit) {
      const u32 w = weight_of(logit, top, temperature);
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
  static constexpr bool cached = true;
  static constexpr int threads(int) { return block; }
  using Shared = Counts;
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& a) const {
    auto& s = cta.template shared<Shared>();
    const int row = cta.block_y(), from = cta.block_x() * segment;
    const float temperature = a.params[row].temperature;
    if (temperature == 0) return;
    const Scratch scratch = scratch_of(a, row);
    s.take(cta, a, gpu::row_of(a.logits, row, a.ld), best_of(scratch, a.vocab).logit, temperature, from,
           gpu::min(from + segment, a.vocab));
    for (int b = cta.thread(); b < bins; b += block)
      if (const Sum sum = s.sum(b); sum.count != 0) cta.atomic_add(scratch.bins + b, static_cast<u64>(sum.count) << 44 | sum.mass);
  }
};

constexpr int list_size = 2048;  // tokens of one bin that are compared each with each
constexpr int list_few = 512;    // so few are listed with all that come before, which a later cut need not look for

struct DrawShared {
  BestOfWaves<16> best;
  gpu::array<u64, list_size> key;
  gpu::array<u32, list_size> weight;
  gpu::array<int, 1> listed;
  gpu::array<u64, 16> mass_of_wave;
  gpu::array<int, 16> count_of_wave;
  gpu::array<u64, 3> found;
};

/// One block's view of a row of which all bins are filled.
template <class Cta> struct Row {
  Cta& cta;
  DrawShared& s;
  const Args& a;
  const float* logits;
  float top, temperature;
  Sum mine[own] = {}, before = {};      // this thread's bins, most likely first; all before them
  u64 last = 0;                         // the key of the last token that is in
  u32 least = 0;                        // the lowest weight that is in
  int listed_from = 0, listed_to = -1;  // bins whose tokens are in the list

  /// Larger keys come earlier: by logit, then by lower id. Zeros of both signs are equal.
  ATOM_DEVICE static u64 key_of(float logit, u32 id) {
    const u32 bits = std::bit_cast<u32>(logit == 0 ? 0.0f : logit);
    return static_cast<u64>(bits >> 31 != 0 ? ~bits : bits | 0x80000000u) << 32 | ~id;
  }
  ATOM_DEVICE static int id_of(u64 key) { return static_cast<int>(~static_cast<u32>(key)); }
  ATOM_DEVICE u32 weight(float logit) const { return weight_of(logit, top, temperature); }
  ATOM_DEVICE bool in(u64 key, u32 weight) const { return key >= last && weight >= least; }

  template <class T> ATOM_DEVICE T up(T v, int by) const {
    const int from = gpu::max(cta.lane() - by, 0);
    if constexpr (sizeof(T) == 8)
      return static_cast<u64>(cta.shfl(static_cast<u32>(v >> 32), from)) << 32 | cta.shfl(static_cast<u32>(v), from);
    else
      return cta.shfl(v, from);
  }
  /// The sum over the block; `in_front` becomes the sum over the threads in front of this one.
  ATOM_DEVICE Sum scan(const Sum& of_thread, Sum& in_front) const {
    Sum sum = of_thread;
    for (int d = 1; d < Cta::wave; d *= 2) {
      const Sum other{up(sum.mass, d), up(sum.count, d)};
      if (cta.lane() >= d) sum += other;
    }
    cta.sync();
    if (cta.lane() == Cta::wave - 1) {
      s.mass_of_wave.set(cta.wave_id(), sum.mass);
      s.count_of_wave.set(cta.wave_id(), sum.count);
    }
    cta.sync();
    in_front = {sum.mass - of_thread.mass, sum.count - of_thread.count};
    Sum all;
    for (int w = 0; w < Cta::waves(); ++w) {
      if (w == cta.wave_id()) in_front += all;
      all += Sum{s.mass_of_wave.get(w), s.count_of_wave.get(w)};
    }
    return all;
  }
  ATOM_DEVICE int first_bin() const { return cta.thread() * own; }
  /// All that is in. Cuts are looked for in what it saw.
  ATOM_DEVICE Sum total() {
    Sum sum;
    ATOM_UNROLL for (int i = 0; i < own; ++i) sum += Bin{first_bin() + i}.common(mine[i]);
    return scan(sum, before);
  }

  /// The token with which what is in, in order, reaches `mark` of the total. It becomes the last one.
  ATOM_DEVICE u64 cut(bool by_mass, u64 mark) {
    Sum sum = before;
    ATOM_UNROLL for (int i = 0; i < own; ++i) {
      const u64 reached = sum.measure(by_mass);
      sum += Bin{first_bin() + i}.common(mine[i]);
      if (reached >= mark || sum.measure(by_mass) < mark) continue;
      s.found.set(0, static_cast<u64>(first_bin() + i));
      s.found.set(1, mark - reached);
      s.found.set(2, static_cast<u64>(mine[i].count) << 32 | static_cast<u64>(sum.count));
    }
    cta.sync();
    const Bin bin{static_cast<int>(s.found.get(0))};
    const u64 rest = by_mass ? bin.reaching(s.found.get(1)) : s.found.get(1), counts = s.found.get(2);
    const Sum above = list(bin, by_mass, rest, static_cast<int>(counts >> 32), static_cast<int>(static_cast<u32>(counts)));
    rank(bin, by_mass, rest, above);
    last = s.found.get(0);
    keep_to(bin.b, {s.found.get(1), static_cast<int>(s.found.get(2))});
    return last;
  }
  /// Drops tokens less likely than min_p times the best.
  ATOM_DEVICE void drop_below(float min_p) {
    least = std::bit_cast<u32>(min_p);
    const Bin bin{min_p > 1 ? -1 : Bin::of(least)};
    if (bin.b >= bins) return;
    const Sum part = bin.b < 0 ? Sum{} : sum_of(bin, 0, ~u64{0});
    keep_to(bin.b, part);
  }

 private:
  /// Bins from b on hold `part` in b, and then nothing.
  ATOM_DEVICE void keep_to(int b, const Sum& part) {
    ATOM_UNROLL for (int i = 0; i < own; ++i) {
      if (first_bin() + i == b) mine[i] = part;
      if (first_bin() + i > b) mine[i] = {};
    }
    cta.sync();
  }
  /// f(key, weight) for the row's tokens in bins [from, to]. Most of the others are told by their logit: the exponent and the upper
  /// bits of a float are its logarithm but for 0.0861.
  template <class F> ATOM_DEVICE void each_in(int from, int to, F f) {
    const float octave = -0.6931472f * temperature, bin = 1.0f / (1 << (23 - below)), slack = 1e-4f;
    const float high = octave * gpu::max(static_cast<float>(from - 1) * bin - 0.0861f - slack, 0.0f) * (1 - slack);
    const float low = octave * (static_cast<float>(to) * bin + slack) * (1 + slack);
    using Many = Batch<8>;  // a lone block hides the latency on its own
    for (int first = 4 * cta.thread(); first < a.vocab; first += Many::step) {
      const Many batch(logits, aligned(a), first, a.vocab);
      u32 candidates = 0;
      ATOM_UNROLL for (int e = 0; e < Many::size; ++e) {
        const float off = batch.v[e / 4].v[e % 4] - top;
        if (!(off < low || off > high)) candidates |= 1u << e;
      }
      for (; candidates != 0; candidates &= candidates - 1) {
        const int i = first + Many::offset(gpu::lowest_bit(candidates));
        if (i >= a.vocab) continue;
        const u32 w = weight(logits[i]);
        const int b = Bin::of(w);
        const u64 key = key_of(logits[i], static_cast<u32>(i));
        if (b >= from && b <= to && in(key, w)) f(key, w);
      }
    }
  }
  /// Of the tokens in a bin with keys in [low, high].
  ATOM_DEVICE Sum sum_of(Bin bin, u64 low, u64 high) {
    Sum sum, unused;
    each_in(bin.b, bin.b, [&](u64 key, u32 w) {
      if (key >= low && key <= high) sum += Sum{Bin::mantissa(w), 1};
    });
    return scan(sum, unused);
  }
  /// Brings those tokens of a bin into the list among which `rest` is reached; returns the sum of those in front.
  ATOM_DEVICE Sum list(Bin bin, bool by_mass, u64 rest, int count, int count_up_to) {
    Sum above;
    if (bin.b >= listed_from && bin.b <= listed_to) return above;
    listed_from = count_up_to <= list_few ? 0 : bin.b;
    listed_to = bin.b;
    u64 low = 0, high = ~u64{0};
    if (count > list_size) {  // ties, mostly, or a temperature that makes all tokens alike: halve the range of keys
      listed_to = -1;
      const float step = 0.6931472f * temperature / (1 << (23 - below)), at = static_cast<float>(bin.b) * step;
      low = key_of(top - (at + step), ~u32{0});
      high = key_of(top - gpu::max(at - 8 * step, 0.0f), 0);
    }
    while (count > list_size) {
      const u64 middle = low + (high - low) / 2 + 1;
      const Sum upper = sum_of(bin, middle, high);
      if (above.measure(by_mass) + upper.measure(by_mass) >= rest) {
        low = middle;
        count = upper.count;
      } else {
        high = middle - 1;
        count -= upper.count;
        above += upper;
      }
    }
    cta.sync();
    if (cta.thread() == 0) s.listed.set(0, 0);
    cta.sync();
    each_in(gpu::min(listed_from, bin.b), bin.b, [&](u64 key, u32 w) {
      if (key < low || key > high) return;
      const int at = s.listed.atomic_add(cta, 0, 1);
      if (at >= list_size) return;
      s.key.set(at, key);
      s.weight.set(at, w);
    });
    return above;
  }
  /// Of the list's tokens in a bin, the one with which `rest` is reached; found: its key, and the sum up to it.
  ATOM_DEVICE void rank(Bin bin, bool by_mass, u64 rest, const Sum& above) {
    cta.sync();
    const int n = gpu::min(s.listed.get(0), list_size);
    for (int i = cta.thread(); i < n; i += block) {
      const u64 key = s.key.get(i);
      const u32 w = s.weight.get(i);
      if (Bin::of(w) != bin.b || !in(key, w)) continue;
      Sum up_to = above;
      for (int j = 0; j < n; ++j) {
        const u64 other = s.key.get(j);
        const u32 v = s.weight.get(j);
        if (other >= key && Bin::of(v) == bin.b && v >= least) up_to += Sum{Bin::mantissa(v), 1};
      }
      const u64 reached = up_to.measure(by_mass);
      if (reached < rest || reached - Sum{Bin::mantissa(w), 1}.measure(by_mass) >= rest) continue;
      s.found.set(0, key);
      s.found.set(1, up_to.mass);
      s.found.set(2, static_cast<u64>(up_to.count));
    }
    cta.sync();
  }
};

/// Alone: nothing was launched before; the row is one segment.
template <bool Alone> struct Draw {
  static constexpr bool cached = true;
  static constexpr int threads(int) { return block; }
  struct Whole : DrawShared {
    Counts counts;
  };
  using Shared = std::conditional_t<Alone, Whole, DrawShared>;

  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& a) const {
    auto& s = cta.template shared<Shared>();
    const int row = cta.block_x();
    const float* logits = gpu::row_of(a.logits, row, a.ld);
    const kernels::SampleParams p = a.params[row];
    Best best;
    if constexpr (Alone)
      best = best_of(cta, s.best, a, logits, 0, a.vocab);
    else
      best = best_of(scratch_of(a, row), a.vocab);
    if (best.id == 0x7fffffff) best.id = 0;
    int token = best.id;
    if (p.temperature != 0) {
      Row<Cta> r{cta, s, a, logits, best.logit, p.temperature};
      if constexpr (Alone) s.counts.take(cta, a, logits, best.logit, p.temperature, 0, a.vocab);
      ATOM_UNROLL for (int i = 0; i < own; ++i) {
        const int b = r.first_bin() + i;
        if constexpr (Alone) {
          r.mine[i] = s.counts.sum(b);
        } else {
          const u64 sum = scratch_of(a, row).bins[b];
          r.mine[i] = {sum & ((u64{1} << 44) - 1), static_cast<int>(sum >> 44)};
        }
      }
      token = drawn(r, p, best.id);
    }
    if (cta.thread() == 0) a.tokens[row] = token;
  }

 private:
  /// The least whole sum that reaches x; at least one token is in it.
  ATOM_DEVICE static u64 mark_of(double x) {
    const auto whole = static_cast<u64>(x);
    return whole < 1 || static_cast<double>(whole) < x ? whole + 1 : whole;
  }
  /// The filters in their order, and the draw: each is a cut.
  template <class R> ATOM_DEVICE static int drawn(R& r, const kernels::SampleParams& p, int best) {
    for (int step = 0;; ++step) {
      const Sum all = r.total();
      if (all.count < 2) return best;
      const auto mass = static_cast<double>(all.mass);
      u64 mark = 0;
      if (step == 0) {
        if (p.top_k <= 0 || p.top_k >= all.count) continue;
        mark = static_cast<u64>(p.top_k);
      } else if (step == 1) {
        if (!(p.top_p < 1)) continue;
        mark = mark_of(static_cast<double>(p.top_p) * mass);
      } else if (step == 2) {
        if (p.min_p > 0) r.drop_below(p.min_p);
        continue;
      } else {
        mark = static_cast<u64>(static_cast<double>(uniform(p.seed, p.counter)) * mass) + 1;
      }
      const u64 key = r.cut(step > 0, mark);
      if (step == 3) return R::id_of(key);
    }
  }
};

}  // namespace

template <gpu::Target B> std::size_t impl<kernels::sample, B>::scratch_ints(int rows, int vocab) noexcept {
  return vocab <= segment ? 0 : static_cast<std::size_t>(rows) * static_cast<std::size_t>(scratch_stride(vocab));
}

template <gpu::Target B> void impl<kernels::sample, B>::run(typename B::stream stream, const kernels::sample::args& a) noexcept {
  if (a.vocab <= segment) return gpu::launch<Draw<true>, B>(stream, {a.rows, 1}, a);
  gpu::launch<Top, B>(stream, {segments(a.vocab), a.rows}, a);
  gpu::launch<Count, B>(stream, {segments(a.vocab), a.rows}, a);
  gpu::launch<Draw<false>, B>(stream, {a.rows, 1}, a);
}

}  // namespace atom

ATOM_GPU_KERNEL(atom::kernels::sample);
