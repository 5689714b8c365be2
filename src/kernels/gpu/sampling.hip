// sample: one block per row, and no sorting. A token's place in the sorted order is a 64-bit key; the token at which a sum over
// that order passes a mark is found digit by digit, with histograms. Probabilities are summed as integers, so the order in which
// threads add them does not matter.
#include "atom/ops/random.hpp"
#include "atom/ops/sampling_gpu.hpp"

#include "rows.hpp"

namespace atom {
namespace {

using u64 = std::uint64_t;

struct Sample {
  using Args = kernels::sample::args;
  static constexpr int bins = 256;
  static constexpr float one = 0x1p44f;  // the mass of the most likely token: a sum over 2^19 of them fits
  static constexpr int threads(int) { return 512; }
  struct Shared {
    gpu::array<float, 16> tops;
    gpu::array<int, 16> ids;
    gpu::array<u64, bins> mass;
    gpu::array<int, bins> count;
    gpu::array<u64, 4> choice;  // whether there is one, its digits so far, the sum in front of it, how many tokens share it
  };

  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& a) const {
    auto& s = cta.template shared<Shared>();
    const int row = cta.block_x();
    const float* logits = gpu::row_of(a.logits, row, a.ld);
    const kernels::SampleParams p = a.params[row];
    const Best best = most_likely(cta, s, logits, a.vocab);
    if (p.temperature == 0) {
      if (cta.thread() == 0) a.tokens[row] = best.id;
      return;
    }
    Row<Cta> r{cta, s, logits, a.vocab, best.logit, p.temperature};
    if (p.top_k > 0 && p.top_k < a.vocab) r.last = r.find(false, static_cast<u64>(p.top_k));
    if (p.top_p < 1) r.last = r.find(true, mark_of(static_cast<double>(p.top_p) * static_cast<double>(r.total())));
    r.least = p.min_p;
    const double target = static_cast<double>(uniform(p.seed, p.counter)) * static_cast<double>(r.total());
    const u64 token = r.find(true, static_cast<u64>(target) + 1);
    if (cta.thread() == 0) a.tokens[row] = token == 0 ? best.id : id_of(token);
  }

 private:
  struct Best {
    float logit;
    int id;
  };
  /// The least whole sum that reaches x; at least one token is in it.
  ATOM_DEVICE static u64 mark_of(double x) {
    const auto whole = static_cast<u64>(x);
    return whole < 1 || static_cast<double>(whole) < x ? whole + 1 : whole;
  }
  ATOM_DEVICE static int id_of(u64 key) { return static_cast<int>(~static_cast<std::uint32_t>(key)); }
  /// Larger keys come earlier: by logit, then by lower id. Zeros of both signs are equal; NaN is last.
  ATOM_DEVICE static u64 key_of(float logit, int id) {
    const auto bits = std::bit_cast<std::uint32_t>(logit == 0 ? 0.0f : logit);
    const std::uint32_t ordered = logit != logit ? 0 : bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
    return static_cast<u64>(ordered) << 32 | static_cast<std::uint32_t>(~id);
  }
  ATOM_DEVICE static void take_better(Best& b, float logit, int id) {
    if (logit > b.logit || (logit == b.logit && id < b.id)) b = {logit, id};
  }
  template <class Cta> ATOM_DEVICE static Best most_likely(Cta& cta, Shared& s, const float* logits, int vocab) {
    Best b{-INFINITY, 0x7fffffff};
    for (int i = cta.thread(); i < vocab; i += cta.threads()) take_better(b, logits[i], i);
    for (int m = Cta::wave / 2; m > 0; m /= 2) {
      const float logit = cta.shfl_xor(b.logit, m);
      const int id = cta.shfl_xor(b.id, m);
      take_better(b, logit, id);
    }
    if (cta.lane() == 0) {
      s.tops.set(cta.wave_id(), b.logit);
      s.ids.set(cta.wave_id(), b.id);
    }
    cta.sync();
    for (int w = 0; w < Cta::waves(); ++w) take_better(b, s.tops.get(w), s.ids.get(w));
    if (b.id == 0x7fffffff) b.id = 0;  // nothing but NaN
    return b;
  }
  template <class Cta> ATOM_DEVICE static u64 shfl(Cta& cta, u64 v, int from) {
    const auto low = cta.shfl(static_cast<std::uint32_t>(v), from), high = cta.shfl(static_cast<std::uint32_t>(v >> 32), from);
    return static_cast<u64>(high) << 32 | low;
  }

  /// A row and which of its tokens are still in.
  template <class Cta> struct Row {
    Cta& cta;
    Shared& s;
    const float* logits;
    int vocab;
    float top, temperature;
    u64 last = 0;     // the key of the last token in
    float least = 0;  // how likely a token has to be, beside the most likely

    ATOM_DEVICE float weight(int i) const {
      const float w = gpu::exp((logits[i] - top) / temperature);
      return w >= 0 ? w : 0;
    }
    ATOM_DEVICE static u64 mass(float weight) { return static_cast<u64>(weight * one); }
    ATOM_DEVICE bool in(u64 key, float w) const { return key >= last && w >= least; }

    ATOM_DEVICE u64 total() {
      cta.sync();
      if (cta.thread() == 0) s.mass.set(0, 0);
      cta.sync();
      u64 sum = 0;
      for (int i = cta.thread(); i < vocab; i += cta.threads()) {
        const float w = weight(i);
        if (in(key_of(logits[i], i), w)) sum += mass(w);
      }
      s.mass.atomic_add(cta, 0, sum);
      cta.sync();
      return s.mass.get(0);
    }

    /// The key of the first token, in order, with which the sum of masses (or the count) of those in reaches `mark`; 0 if none.
    ATOM_DEVICE u64 find(bool by_mass, u64 mark) {
      u64 digits = 0, before = 0;
      for (int shift = 56; shift >= 0; shift -= 8) {
        histogram(by_mass, digits, shift);
        if (cta.wave_id() == 0) choose(digits, before, shift, mark);
        cta.sync();
        if (s.choice.get(0) == 0) return 0;
        digits = s.choice.get(1);
        before = s.choice.get(2);
        if (shift > 0 && s.choice.get(3) == 1) return only(digits, shift);
      }
      return digits;
    }

   private:
    /// Of the tokens in whose key begins with `digits`: masses (or ones) by their next digit.
    ATOM_DEVICE void histogram(bool by_mass, u64 digits, int shift) {
      cta.sync();
      for (int b = cta.thread(); b < bins; b += cta.threads()) {
        s.mass.set(b, 0);
        s.count.set(b, 0);
      }
      cta.sync();
      for (int i = cta.thread(); i < vocab; i += cta.threads()) {
        const u64 key = key_of(logits[i], i);
        const float w = weight(i);
        if (!in(key, w) || (shift < 56 && (key ^ digits) >> (shift + 8) != 0)) continue;
        const int bin = static_cast<int>(key >> shift & 255);
        s.mass.atomic_add(cta, bin, by_mass ? mass(w) : u64{1});
        s.count.atomic_add(cta, bin, 1);
      }
      cta.sync();
    }
    /// One wave walks down the bins; the lane in whose bins the mark lies says so.
    ATOM_DEVICE void choose(u64 digits, u64 before, int shift, u64 mark) {
      constexpr int own = bins / Cta::wave;
      const int lane = cta.lane(), first = bins - 1 - lane * own;
      u64 mine = 0;
      for (int i = 0; i < own; ++i) mine += s.mass.get(first - i);
      u64 sum = mine;  // of this lane's bins and all above
      for (int d = 1; d < Cta::wave; d *= 2) {
        const u64 above = shfl(cta, sum, gpu::max(lane - d, 0));
        if (lane >= d) sum += above;
      }
      u64 here = before + sum - mine;
      const bool crosses = here < mark && here + mine >= mark;
      const bool any = cta.ballot(crosses) != 0;
      if (lane == 0) s.choice.set(0, any ? 1 : 0);
      if (!crosses) return;
      int bin = first;
      while (here + s.mass.get(bin) < mark) here += s.mass.get(bin--);
      s.choice.set(1, digits | static_cast<u64>(bin) << shift);
      s.choice.set(2, here);
      s.choice.set(3, static_cast<u64>(s.count.get(bin)));
    }
    /// The one token in whose key begins with `digits`.
    ATOM_DEVICE u64 only(u64 digits, int shift) {
      cta.sync();
      for (int i = cta.thread(); i < vocab; i += cta.threads()) {
        const u64 key = key_of(logits[i], i);
        if ((key ^ digits) >> shift == 0 && in(key, weight(i))) s.choice.set(1, key);
      }
      cta.sync();
      return s.choice.get(1);
    }
  };
};

}  // namespace

template <gpu::Target B> void impl<kernels::sample, B>::run(typename B::stream stream, const kernels::sample::args& a) noexcept {
  gpu::launch<Sample, B>(stream, {a.rows, 1}, a);
}

}  // namespace atom

ATOM_GPU_KERNEL(atom::kernels::sample);
