#pragma once
// Several query rows of one KV head, flash style, for one level and one way to multiply (Mma).
// One idea: queries are lanes. Scores are kept as S[token][lane] and outputs as O[channel][lane], so the softmax over tokens is
// plain vector code without sums across lanes, and masks, maxima and sums are one vector per 16 (row, head) pairs. Tiles go
// through three stages, so that one tile's softmax runs while the matrix unit multiplies for its neighbours.
//
// An Mma multiplies for a tile of `lanes` queries; tokens come in chunks of at most key_chunk:
//   Query, Keys, Values, Probability            element types of its packed operands
//   pack_queries(task, first, n, q)             lanes [first, first + n) of the block; absent ones become zero
//   pack(task, first, n, keys, values)          tokens [first, first + n); values beyond n: zero up to a multiple of token_step
//   scores(task, q, keys, first, n, s, beside)  S[token][lane], n a multiple of token_step
//   exponential(x)                              2^x, x <= 8, as exact as Probability deserves
//   put(p, token, half, V even, V odd)          probabilities of tokens `token` and `token + 1`
//   add(p, values, n, d, fresh, o, beside)      O += V^T P, or O = V^T P where there is nothing to add to
//   put_rows(task, first, n, o, sum)            O[channel][lane] / sum[lane] to the task's output
// scores() and add() may call beside() between their products, as often as they like: work that runs while they wait.
#include "attention.hpp"
#include "simd.hpp"

namespace atom::cpu {

/// Hands out pieces of one scratch memory.
template <class Level> struct Carve {
  float* next;
  template <class U> U* take(std::ptrdiff_t n) {  // 64-byte aligned
    U* p = reinterpret_cast<U*>(next);
    next += (n * static_cast<std::ptrdiff_t>(sizeof(U)) + 63) / 64 * 16;
    return p;
  }
};

/// [first, last)
struct Span {
  int first, last;
};

/// The running softmax of one tile over one chunk, to be run beside matrix products: begin() finds how far scores are shifted,
/// every step() makes four tokens' probabilities, end() makes the others and stores what the lanes' sums have come to.
/// The shift is a lane's largest score so far, or one up to 2^8 smaller: outputs are seldom rescaled, and lose nothing in bf16.
template <class Level, class Mma> class TileSoftmax {
  using S = Simd<Level>;
  using V = typename S::V;
  static constexpr int W = S::width, L = 2 * W;

 public:
  /// s: scores of `tokens` tokens; those of [0, whole.first) and from whole.last on are masked, lane by lane: it sees `window`
  /// tokens before the visible-th. visible, top, sum: (L). o, (d, L), is rescaled.
  void begin(float* s, typename Mma::Probability* p, int tokens, Span whole, const float* visible, float window, float c,
             float* top, float* sum, float* o, int d, bool fresh) {
    s_ = s, p_ = p, tokens_ = tokens, token_ = 0, sum_ = sum, c_ = S::set(c);
    const V none = S::set(-__builtin_inff());
    const V seen[2] = {S::load(visible), S::load(visible + W)}, before[2] = {S::load(top), S::load(top + W)};
    V high[2][2] = {{before[0], before[1]}, {before[0], before[1]}};  // of even and of odd tokens
    const auto mask = [&](int from, int to) {
      for (int t = from; t < to; ++t)
        for (int h = 0; h < 2; ++h) {
          const V causal = S::if_at_least(seen[h], S::set(static_cast<float>(t + 1)), S::load(s + t * L + h * W), none);
          const V x = S::if_at_least(S::set(static_cast<float>(t) + window), seen[h], causal, none);
          S::store(s + t * L + h * W, x);
          high[0][h] = S::max(x, high[0][h]);
        }
    };
    mask(0, whole.first);
    for (int t = whole.first; t < whole.last; t += 2)
      for (int i = 0; i < 2; ++i)
        for (int h = 0; h < 2; ++h) high[i][h] = S::max(S::load(s + (t + i) * L + h * W), high[i][h]);
    mask(whole.last, tokens);
    V keep[2];
    for (int h = 0; h < 2; ++h) {
      const V highest = S::max(high[0][h], high[1][h]);
      const V now = S::if_at_least(highest, before[h] + S::set(8 / c), highest, before[h]);
      S::store(top + h * W, now);
      shift_[h] = S::zero() - now * c_;
      keep[h] = exp2<Level>((before[h] - now) * c_);
      total_[0][h] = S::load(sum + h * W) * keep[h];
      total_[1][h] = S::zero();
    }
    if (fresh || (S::above(S::set(1), keep[0]) | S::above(S::set(1), keep[1])) == 0) return;
    for (int i = 0; i < d; ++i)
      for (int h = 0; h < 2; ++h) S::store(o + i * L + h * W, S::load(o + i * L + h * W) * keep[h]);
  }

  void step() {
    if (token_ >= tokens_) return;
    for (int i = 0; i < 4; i += 2)
      for (int h = 0; h < 2; ++h) {
        const float* at = s_ + (token_ + i) * L + h * W;
        const V even = Mma::exponential(S::fma(S::load(at), c_, shift_[h]));
        const V odd = Mma::exponential(S::fma(S::load(at + L), c_, shift_[h]));
        total_[0][h] = total_[0][h] + even;
        total_[1][h] = total_[1][h] + odd;
        Mma::put(p_, token_ + i, h, even, odd);
      }
    token_ += 4;
  }

  void end() {
    while (token_ < tokens_) step();
    if (tokens_ == 0) return;
    for (int h = 0; h < 2; ++h) S::store(sum_ + h * W, total_[0][h] + total_[1][h]);
  }

 private:
  V c_ = S::zero(), shift_[2] = {S::zero(), S::zero()}, total_[2][2] = {{S::zero(), S::zero()}, {S::zero(), S::zero()}};
  float* s_ = nullptr;
  float* sum_ = nullptr;
  typename Mma::Probability* p_ = nullptr;
  int token_ = 0, tokens_ = 0;
};

/// Brings keys and values of the chunk to come into L2, few lines at a time, while products run.
template <class Level, class T, class Kv> class ChunkFetch {
 public:
  /// Tokens [first, last), `first` a multiple of page.
  ChunkFetch(const AttentionTask<T, Kv>& a, int first, int last) : a_(a), token_(first), last_(last) {}
  void step() {
    if (token_ >= last_) return;
    const std::ptrdiff_t at = a_.pages[token_ / page] * a_.page_stride + line_;
    _mm_prefetch(reinterpret_cast<const char*>(a_.k + at), _MM_HINT_T1);
    _mm_prefetch(reinterpret_cast<const char*>(a_.v + at), _MM_HINT_T1);
    line_ += 64 / static_cast<int>(sizeof(*a_.k));
    if (line_ < page * (a_.d + kernels::CacheRow<Kv>::scale)) return;
    line_ = 0;
    token_ += page;
  }

 private:
  const AttentionTask<T, Kv>& a_;
  int token_, last_, line_ = 0;
};

/// Where the n lanes from `first` on lie in a task's queries or output.
template <class Level, class P> void lane_pointers(P* rows, std::ptrdiff_t ld, int d, int group, int first, int n, P** lanes) {
  P* row = rows + first / group * ld;
  for (int i = 0, head = first % group; i < n; ++i) {
    lanes[i] = row + static_cast<std::ptrdiff_t>(head) * d;
    if (++head == group) head = 0, row += ld;
  }
}

template <class Level, class Mma, class T, class Kv> void prefill_block(const AttentionTask<T, Kv>& a, float* scratch) {
  using S = Simd<Level>;
  constexpr int W = S::width, L = 2 * W, step = Mma::token_step;
  constexpr float lowest = -1e30f;
  const int d = a.d, lanes = a.rows * a.group, tiles = (lanes + L - 1) / L, padded = tiles * L;
  const std::ptrdiff_t tile_size = static_cast<std::ptrdiff_t>(L) * d;
  Carve<Level> carve{scratch};
  auto* q = carve.template take<typename Mma::Query>(padded * d);
  auto* o = carve.template take<float>(padded * d);
  auto* keys = carve.template take<typename Mma::Keys>(key_chunk * d);
  auto* values = carve.template take<typename Mma::Values>(key_chunk * d);
  auto* s = carve.template take<float>(2 * key_chunk * L);
  auto* p = carve.template take<typename Mma::Probability>(2 * key_chunk * L);
  auto* top = carve.template take<float>(padded);
  auto* sum = carve.template take<float>(padded);
  auto* visible = carve.template take<float>(padded);  // tokens that a lane sees: exact in float far beyond any context
  for (int i = 0; i < padded; ++i) {
    // Finite, for lanes that see nothing of their first chunk.
    const float sink = a.sinks ? a.sinks[i % a.group] / a.scale : lowest;
    top[i] = sink > lowest ? sink : lowest;
    sum[i] = a.sinks ? 1 : 0;
    visible[i] = static_cast<float>(a.context - a.rows + 1 + (i < lanes ? i / a.group : a.rows - 1));
  }
  for (int tile = 0; tile < tiles; ++tile)
    Mma::pack_queries(a, tile * L, lanes - tile * L < L ? lanes - tile * L : L, q + tile * tile_size);

  const auto first_of = [&](int tile) { return first_seen(static_cast<int>(visible[tile * L]), a.window); };
  for (int first = a.first(); first < a.context; first += key_chunk) {
    const int chunk = a.context - first < key_chunk ? a.context - first : key_chunk;
    Mma::pack(a, first, chunk, keys, values);
    const auto span = [&](int tile) {  // of the chunk, what the tile's lanes see
      const int least = first_of(tile) - first, most = static_cast<int>(visible[tile * L + L - 1]) - first;
      return Span{least < 0 ? 0 : least / step * step, ((most < chunk ? most : chunk) + step - 1) / step * step};
    };
    const int next = first + key_chunk, after = next + key_chunk;
    ChunkFetch<Level, T, Kv> fetch(a, next, after < a.context ? after : a.context);
    int begin = 0, end = tiles;
    while (span(begin).last <= 0) ++begin;
    while (first_of(end - 1) >= first + chunk) --end;
    // Three stages, each a tile behind the one before: scores, softmax, outputs.
    for (int tile = begin; tile < end + 2; ++tile) {
      TileSoftmax<Level, Mma> softmax;
      if (const int t = tile - 1; t >= begin && t < end) {
        const Span x = span(t);
        const auto within = [&](int token) {  // of the span, even
          const int at = token - first - x.first;
          return at < 0 ? 0 : (at < x.last - x.first ? at : x.last - x.first) / 2 * 2;
        };
        // Tokens that all lanes see, if there are any.
        const int most = within(static_cast<int>(visible[t * L])),
                  least = within(first_seen(static_cast<int>(visible[t * L + L - 1]), a.window) + 1);
        const float origin = static_cast<float>(first + x.first);
        alignas(64) float seen[L];
        for (int i = 0; i < L; i += W) S::store(seen + i, S::load(visible + t * L + i) - S::set(origin));
        softmax.begin(s + t % 2 * key_chunk * L, p + t % 2 * key_chunk * L, x.last - x.first, {least < most ? least : most, most},
                      seen, static_cast<float>(a.window), a.scale * log2_e, top + t * L, sum + t * L, o + t * tile_size, d,
                      first_of(t) >= first);
      }
      const auto beside = [&] {
        softmax.step();
        fetch.step();
      };
      if (tile < end) {
        const Span x = span(tile);
        Mma::scores(a, q + tile * tile_size, keys + x.first * d, first + x.first, x.last - x.first, s + tile % 2 * key_chunk * L,
                    beside);
      }
      if (const int t = tile - 2; t >= begin) {
        const Span x = span(t);
        Mma::add(p + t % 2 * key_chunk * L, values + x.first * d, x.last - x.first, d, first_of(t) >= first, o + t * tile_size,
                 beside);
      }
      softmax.end();
    }
  }
  for (int i = 0; a.lse && i < lanes; ++i) a.lse[i] = top[i] * a.scale * log2_e + __builtin_log2f(sum[i]);
  for (int tile = 0; tile < tiles; ++tile)
    Mma::put_rows(a, tile * L, lanes - tile * L < L ? lanes - tile * L : L, o + tile * tile_size, sum + tile * L);
}

}  // namespace atom::cpu
