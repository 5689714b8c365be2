#pragma once
// Where, among a row's tokens in order, a sum is reached; without sorting them.
// One idea: floats that share their upper bits add up exactly, as integers, so what a range of tokens holds does not depend on who
// added it, or when. A cut is found among bins of weights first, then among ranges of keys in one bin, then among a few tokens.
// The filters and the draw are one text (`drawn`) that runs twice: on the bins alone, with bounds for what they do not tell, it
// says whose tokens are needed (`Plan`); then on those tokens (`Exact`).
#include "atom/ops/random.hpp"
#include "atom/ops/sampling_op.hpp"

#include "rows.hpp"

namespace atom::sampling {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr int block = 512;     // threads
constexpr int segment = 8192;  // logits of a row that one block reads; what it adds up fits into 32 bits
constexpr int below = 17;      // bits of a weight's float that tokens of one bin may differ in: 64 bins an octave
constexpr int octaves = 40;    // of weights from 1, the most likely, down; less is nothing: uniform() has 24 bits
constexpr int bins = octaves << (23 - below), own = bins / block;
constexpr u32 one = 0x3f800000 >> below;  // 1.0f
static_assert(own * block == bins);

/// Logits that a thread reads at once: vectors, a block apart.
template <int Vectors> struct Batch {
  static constexpr int vectors = Vectors, size = 4 * vectors, step = size * block;
  gpu::vec<float, 4> v[vectors];
  int first, to;
  /// From i, a multiple of 4, on; what lies behind `to` is 0.
  ATOM_DEVICE Batch(const float* logits, bool aligned, int i, int end) : first(i), to(end) {
    const auto at = [&](int u) { return i + 4 * u * block; };
    if (aligned && at(vectors - 1) + 4 <= to)
      ATOM_UNROLL for (int u = 0; u < vectors; ++u) v[u] = gpu::load<4>(logits + at(u));
    else
      ATOM_UNROLL for (int u = 0; u < vectors; ++u) v[u] = gpu::load_some<4>(logits + at(u), to - at(u));
  }
  ATOM_DEVICE int id(int e) const { return first + e / 4 * 4 * block + e % 4; }
  template <class F> ATOM_DEVICE void each(F f) const {
    ATOM_UNROLL for (int e = 0; e < size; ++e) if (id(e) < to) f(id(e), v[e / 4].v[e % 4]);
  }
  /// Bit e: whether is(logit).
  template <class Is> ATOM_DEVICE u32 which(Is is) const {
    u32 bits = 0;
    ATOM_UNROLL for (int e = 0; e < size; ++e) if (id(e) < to && is(v[e / 4].v[e % 4])) bits |= 1u << e;
    return bits;
  }
};
static_assert(Batch<4>::step == segment);

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
  /// Common units that n of its tokens have at least, and less than n of them have.
  ATOM_DEVICE u64 least_of(u64 n) const { return common({n * mantissa(first_weight())}).mass; }
  ATOM_DEVICE u64 most_of(u64 n) const { return common({n * (mantissa(first_weight()) + (1u << below))}).mass + 1; }
};

/// exp((logit - top) / temperature), as the bits of a float.
struct Scale {
  float top, temperature, reciprocal;
  struct Range {
    float low, high;
  };

  ATOM_DEVICE Scale(float best, float t) : top(best), temperature(t), reciprocal(gpu::min(1 / t, 0x1p127f)) {}
  ATOM_DEVICE u32 weight(float logit) const {
    const float x = logit - top, q = x * reciprocal;  // and the remainder makes it the quotient, correctly rounded
    return std::bit_cast<u32>(gpu::exp(gpu::fma(gpu::fma(-q, temperature, x), reciprocal, q)));
  }
  /// Where the logits of bins [from, to] lie beside the top: most others are told by that.
  ATOM_DEVICE Range range(int from, int to) const {
    constexpr float slack = 2e-5f;
    return {temperature * (gpu::log(std::bit_cast<float>(Bin{to}.first_weight())) - slack),
            temperature * (gpu::log(std::bit_cast<float>(Bin{from - 1}.first_weight())) + slack)};
  }
  ATOM_DEVICE bool in(const Range& r, float logit) const { return logit - top >= r.low && logit - top <= r.high; }
};

/// Larger keys come earlier: by logit, then by lower id. Zeros of both signs are equal.
struct Keys {
  int id_bits = 0;
  ATOM_DEVICE explicit Keys(int vocab) {
    while (1 << id_bits < vocab) ++id_bits;
  }
  ATOM_DEVICE u64 last_id() const { return (u64{1} << id_bits) - 1; }
  ATOM_DEVICE u64 of(float logit, int id) const {
    const u32 bits = std::bit_cast<u32>(logit == 0 ? 0.0f : logit);
    return static_cast<u64>(bits >> 31 != 0 ? ~bits : bits | 0x80000000u) << id_bits | (last_id() - static_cast<u64>(id));
  }
  ATOM_DEVICE int id(u64 key) const { return static_cast<int>(last_id() - (key & last_id())); }
  ATOM_DEVICE float logit(u64 key) const {
    const u32 bits = static_cast<u32>(key >> id_bits);
    return std::bit_cast<float>(bits >> 31 != 0 ? bits & 0x7fffffffu : ~bits);
  }
};

/// One of a sequence of sums: how much comes before it, and itself.
struct Place {
  int at;
  Sum front, self;
};
struct SearchShared {
  gpu::array<u64, 16> mass_of_wave;
  gpu::array<int, 16> count_of_wave;
  gpu::array<u64, 4> found;
};
template <class Cta> struct Search {
  Cta& cta;
  SearchShared& s;

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
  /// Every thread brings N sums and what is in front of them; the one for which is(its index, front, front and itself).
  template <int N, class Unit, class Is> ATOM_DEVICE Place find(const Sum (&mine)[N], Sum front, Unit unit, Is is) const {
    cta.sync();
    ATOM_UNROLL for (int i = 0; i < N; ++i) {
      const int at = cta.thread() * N + i;
      Sum with = front;
      with += unit(at, mine[i]);
      if (is(at, front, with)) {
        s.found.set(0, static_cast<u64>(at) << 32 | static_cast<u32>(mine[i].count));
        s.found.set(1, front.mass);
        s.found.set(2, static_cast<u64>(front.count));
        s.found.set(3, mine[i].mass);
      }
      front = with;
    }
    cta.sync();
    const u64 first = s.found.get(0);
    return {static_cast<int>(first >> 32),
            {s.found.get(1), static_cast<int>(s.found.get(2))},
            {s.found.get(3), static_cast<int>(static_cast<u32>(first))}};
  }
  /// The one with which `mark` is reached.
  template <int N, class Unit>
  ATOM_DEVICE Place reaching(const Sum (&mine)[N], const Sum& front, Unit unit, bool by_mass, u64 mark) const {
    return find(mine, front, unit, [&](int, const Sum& before, const Sum& with) {
      return before.measure(by_mass) < mark && with.measure(by_mass) >= mark;
    });
  }

 private:
  template <class T> ATOM_DEVICE T up(T v, int by) const {
    const int from = gpu::max(cta.lane() - by, 0);
    if constexpr (sizeof(T) == 8)
      return static_cast<u64>(cta.shfl(static_cast<u32>(v >> 32), from)) << 32 | cta.shfl(static_cast<u32>(v), from);
    else
      return cta.shfl(v, from);
  }
};

/// A row's bins, some in each thread, most likely first. sum(b): of bin b.
template <class Cta> struct Bins {
  Search<Cta> search;
  Sum mine[own], before, all;

  template <class F> ATOM_DEVICE Bins(Cta& cta, SearchShared& s, F sum) : search{cta, s} {
    Sum of_thread;
    ATOM_UNROLL for (int i = 0; i < own; ++i) mine[i] = sum(first() + i);
    ATOM_UNROLL for (int i = 0; i < own; ++i) of_thread += common(first() + i, mine[i]);
    all = search.scan(of_thread, before);
  }
  ATOM_DEVICE int first() const { return search.cta.thread() * own; }
  ATOM_DEVICE static Sum common(int b, const Sum& s) { return Bin{b}.common(s); }
  ATOM_DEVICE Place reaching(bool by_mass, u64 mark) const { return search.reaching(mine, before, common, by_mass, mark); }
  ATOM_DEVICE Place bin(int b) const {
    return search.find(mine, before, common, [&](int at, const Sum&, const Sum&) { return at == b; });
  }
};

/// What is left of the row, which is always its first tokens: exactly, or bounds.
struct Kept {
  Sum least, most;
};

/// The filters in their order, and the draw: each is a cut. Whether a token was drawn; if not, there is only the best.
template <class Cuts> ATOM_DEVICE bool drawn(Cuts& cuts, const kernels::SampleParams& p) {
  const auto mark_of = [](double x) {  // the least whole sum that reaches x; at least one token is in it
    const auto whole = static_cast<u64>(x);
    return whole < 1 || static_cast<double>(whole) < x ? whole + 1 : whole;
  };
  const auto share = [](float of, u64 mass) { return static_cast<double>(of) * static_cast<double>(mass); };
  Kept kept{cuts.bins.all, cuts.bins.all};
  for (int step = 0; step < 4; ++step) {
    if (kept.most.count < 2) return false;
    u64 least, most;
    if (step == 0) {
      if (p.top_k <= 0 || p.top_k >= kept.most.count) continue;
      least = most = static_cast<u64>(p.top_k);
    } else if (step == 1) {
      if (!(p.top_p < 1)) continue;
      least = mark_of(share(p.top_p, kept.least.mass));
      most = mark_of(share(p.top_p, kept.most.mass));
    } else if (step == 2) {
      if (!(p.min_p > 0)) continue;
      const u32 weight = std::bit_cast<u32>(p.min_p);
      const int b = Bin::of(weight);
      if (p.min_p > 1) return false;
      if (b >= bins) continue;
      if (const Place bin = cuts.bins.bin(b); bin.front.count < kept.most.count) kept = cuts.drop_below(kept, bin, weight);
      continue;
    } else {
      const float u = uniform(p.seed, p.counter);
      least = static_cast<u64>(share(u, kept.least.mass)) + 1;
      most = static_cast<u64>(share(u, kept.most.mass)) + 1;
    }
    kept = cuts.cut(step, step > 0, least, most);
  }
  return true;
}

/// Bins, by step, whose tokens it takes to cut exactly; how many tokens, or -1: more than a list holds.
struct Wanted {
  static constexpr int steps = 4;
  int tokens = 0, from[steps], to[steps];
  ATOM_DEVICE Wanted() { ATOM_UNROLL for (int i = 0; i < steps; ++i) from[i] = bins, to[i] = -1; }
  ATOM_DEVICE bool has(int b) const {
    bool any = false;
    ATOM_UNROLL for (int i = 0; i < steps; ++i) any = any || (b >= from[i] && b <= to[i]);
    return any;
  }
  ATOM_DEVICE Scale::Range range(const Scale& scale) const {
    int low = from[0], high = to[0];
    ATOM_UNROLL for (int i = 1; i < steps; ++i) low = gpu::min(low, from[i]), high = gpu::max(high, to[i]);
    return scale.range(low, high);
  }
};

template <class Cta> struct Plan {
  const Bins<Cta>& bins;
  Wanted wanted;

  ATOM_DEVICE Kept cut(int step, bool by_mass, u64 least, u64 most) {
    const Place low = bins.reaching(by_mass, least), high = least == most ? low : bins.reaching(by_mass, most);
    want(step, low.at, high.at);
    Sum up_to = high.front;
    up_to += Bin{high.at}.common(high.self);
    const auto within = [&](u64 mass) { return mass < up_to.mass ? mass : up_to.mass; };
    if (by_mass) return {{least, low.front.count + 1}, {within(most + Bin{high.at}.most_of(1)), up_to.count}};
    const u64 rest = least - static_cast<u64>(low.front.count);
    const int count = static_cast<int>(least);
    return {{low.front.mass + Bin{low.at}.least_of(rest), count}, {within(low.front.mass + Bin{low.at}.most_of(rest)), count}};
  }
  ATOM_DEVICE Kept drop_below(Kept kept, const Place& bin, u32) {
    want(2, bin.at, bin.at);
    Sum up_to = bin.front;
    up_to += Bin{bin.at}.common(bin.self);
    if (bin.front.count < kept.least.count) kept.least = bin.front;
    if (up_to.count < kept.most.count) kept.most = up_to;
    return kept;
  }

 private:
  ATOM_DEVICE void want(int step, int from, int to) {
    ATOM_UNROLL for (int i = 0; i < Wanted::steps; ++i) if (i == step) wanted.from[i] = from, wanted.to[i] = to;
  }
};

constexpr int ranges = block;  // of keys, that a bin is divided into at once
constexpr int few = 128;       // tokens that are compared each with each
struct ExactShared {
  gpu::array<u32, ranges> count, low, high;  // halves of mantissas: sums of 2^20 tokens fit
  gpu::array<u64, few> key;
  gpu::array<u32, few> weight;
  gpu::array<int, 1> listed;
};

template <class Cta> struct Exact {
  const Bins<Cta>& bins;
  ExactShared& s;
  Scale scale;
  Keys keys;
  const float* logits;  // the row
  int vocab;
  bool aligned;
  const u64* list;  // the keys of the tokens that are needed,
  int listed;       // and how many; -1: the row itself
  u64 last = 0;     // the key of the last token that is in

  ATOM_DEVICE Kept cut(int, bool by_mass, u64 mark, u64) {
    const Place p = bins.reaching(by_mass, mark);
    const Bin bin{p.at};
    Sum up_to = p.front;
    up_to +=
        bin.common(find(bin, by_mass, by_mass ? bin.reaching(mark - p.front.mass) : mark - p.front.measure(false), p.self.count));
    return {up_to, up_to};
  }
  ATOM_DEVICE Kept drop_below(const Kept& kept, const Place& bin, u32 least) {
    Sum sum, unused;
    each_in({bin.at}, 0, ~u64{0}, [&](u64, u32 w) {
      if (w >= least) sum += Sum{Bin::mantissa(w), 1};
    });
    Sum up_to = bin.front;
    up_to += Bin{bin.at}.common(bins.search.scan(sum, unused));
    return up_to.count < kept.most.count ? Kept{up_to, up_to} : kept;
  }

 private:
  /// f(key, weight) for a bin's tokens with keys in [low, high].
  template <class F> ATOM_DEVICE void each_in(Bin bin, u64 low, u64 high, F f) const {
    const Scale::Range range = scale.range(bin.b, bin.b);
    const int thread = bins.search.cta.thread();
    const auto take = [&](u64 key) {
      if (key < low || key > high) return;
      const u32 w = scale.weight(keys.logit(key));
      if (Bin::of(w) == bin.b) f(key, w);
    };
    if (listed >= 0) {
      constexpr int at_once = 4;
      for (int i = thread; i < listed; i += at_once * block) {
        u64 some[at_once];
        ATOM_UNROLL for (int u = 0; u < at_once; ++u) some[u] = i + u * block < listed ? list[i + u * block] : 0;
        ATOM_UNROLL for (int u = 0; u < at_once; ++u) if (scale.in(range, keys.logit(some[u]))) take(some[u]);
      }
    } else {
      using Many = Batch<8>;  // a lone block hides the latency on its own
      for (int i = 4 * thread; i < vocab; i += Many::step) {
        const Many batch(logits, aligned, i, vocab);
        u32 candidates = batch.which([&](float logit) { return scale.in(range, logit); });
        for (; candidates != 0; candidates &= candidates - 1) {
          const int id = batch.id(gpu::lowest_bit(candidates));
          take(keys.of(logits[id], id));
        }
      }
    }
  }
  /// Of a bin's `count` tokens, the one with which `rest` is reached becomes the last; returns the sum up to it.
  ATOM_DEVICE Sum find(Bin bin, bool by_mass, u64 rest, int count) {
    Cta& cta = bins.search.cta;
    const Scale::Range logit = scale.range(bin.b, bin.b);
    u64 low = 0, high = (u64{1} << (32 + keys.id_bits)) - 1;  // of the tokens that are left
    u64 begin = keys.of(scale.top + logit.high, 0), end = keys.of(scale.top + logit.low, static_cast<int>(keys.last_id()));
    Sum above;
    while (count > few) {
      // So many bits fewer, and keys in [end, begin] tell less than 512 ranges apart; those outside, if any, join the outermost.
      const int shift = gpu::max(0, static_cast<int>(std::bit_cast<u32>(static_cast<float>(begin - end)) >> 23) - 126 - 9);
      static_assert(ranges == 1 << 9);
      s.count.set(cta.thread(), 0), s.low.set(cta.thread(), 0), s.high.set(cta.thread(), 0);
      cta.sync();
      each_in(bin, low, high, [&](u64 key, u32 w) {
        const u64 behind = key > begin ? 0 : (begin - key) >> shift;
        const int r = behind < ranges ? static_cast<int>(behind) : ranges - 1;
        s.count.atomic_add(cta, r, u32{1});
        s.low.atomic_add(cta, r, Bin::mantissa(w) & 0xfffu);
        s.high.atomic_add(cta, r, Bin::mantissa(w) >> 12);
      });
      cta.sync();
      const Sum mine[1] = {
          {(u64{s.high.get(cta.thread())} << 12) + s.low.get(cta.thread()), static_cast<int>(s.count.get(cta.thread()))}};
      Sum before;
      bins.search.scan(mine[0], before);
      const Place p = bins.search.reaching(
          mine, before, [](int, const Sum& sum) { return sum; }, by_mass, rest);
      above += p.front;
      rest -= p.front.measure(by_mass);
      count = p.self.count;
      const u64 from = static_cast<u64>(p.at) << shift, to = static_cast<u64>(p.at + 1) << shift;
      if (p.at < ranges - 1 && to <= begin - low) low = begin - to + 1;
      if (p.at > 0) high = begin - from;
      begin = high, end = low;
    }
    list_few(bin, low, high);
    return rank(by_mass, rest, above);
  }
  ATOM_DEVICE void list_few(Bin bin, u64 low, u64 high) {
    Cta& cta = bins.search.cta;
    cta.sync();
    if (cta.thread() == 0) s.listed.set(0, 0);
    cta.sync();
    each_in(bin, low, high, [&](u64 key, u32 w) {
      const int at = s.listed.atomic_add(cta, 0, 1);
      if (at >= few) return;
      s.key.set(at, key);
      s.weight.set(at, w);
    });
    cta.sync();
  }
  /// Of those listed, the one with which `rest` is reached.
  ATOM_DEVICE Sum rank(bool by_mass, u64 rest, Sum above) {
    Cta& cta = bins.search.cta;
    auto& found = bins.search.s.found;
    const int n = gpu::min(s.listed.get(0), few);
    if (cta.thread() < n) {
      const u64 key = s.key.get(cta.thread());
      Sum before;
      for (int j = 0; j < n; ++j)
        if (s.key.get(j) > key) before += Sum{Bin::mantissa(s.weight.get(j)), 1};
      Sum with = before;
      with += Sum{Bin::mantissa(s.weight.get(cta.thread())), 1};
      if (before.measure(by_mass) < rest && with.measure(by_mass) >= rest) {
        found.set(0, key);
        found.set(1, with.mass);
        found.set(2, static_cast<u64>(with.count));
      }
    }
    cta.sync();
    last = found.get(0);
    above += Sum{found.get(1), static_cast<int>(found.get(2))};
    return above;
  }
};

}  // namespace atom::sampling
