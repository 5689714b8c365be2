#pragma once
// Several query rows of one KV head, flash style, for one level and one way to multiply (Mma).
// One idea: queries are lanes. Scores are kept as S[token][lane] and outputs as O[channel][lane], so the softmax over tokens is
// plain vector code without sums across lanes, and masks, maxima and sums are one vector per 16 (row, head) pairs.
//
// An Mma multiplies for a tile of `lanes` queries; tokens come in chunks of at most key_chunk:
//   Query, Keys, Values, Probability      element types of its packed operands
//   pack_queries(task, first, n, q)       lanes [first, first + n) of the block; absent ones become zero
//   pack(task, first, n, keys, values)    tokens [first, first + n); values beyond n become zero up to a multiple of token_step
//   scores(task, q, keys, first, n, s)    S[token][lane], n a multiple of token_step
//   exponential(x)                        2^x, as exact as Probability deserves
//   put(p, token, half, V even, V odd)    probabilities of tokens `token` and `token + 1`
//   add(p, values, n, d, fresh, o)        O += V^T P, or O = V^T P where there is nothing to add to
//   rows(o, d, to)                        O[channel][lane] to to[lane][channel]
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

/// The running softmax of one tile: raw scores in, probabilities out, largest score and sum per lane kept.
template <class Level, class Mma>
void softmax_tile(float* s, int tokens, int unmasked, const float* visible, float c, float* top, float* sum, float* o, int d,
                  bool fresh, typename Mma::Probability* p) {
  using S = Simd<Level>;
  using V = typename S::V;
  constexpr int W = S::width, L = 2 * W;
  const V none = S::set(-__builtin_inff());
  const V seen[2] = {S::load(visible), S::load(visible + W)}, before[2] = {S::load(top), S::load(top + W)};
  V high[2][2] = {{before[0], before[1]}, {before[0], before[1]}};  // of even and of odd tokens
  for (int t = 0; t < unmasked; t += 2)
    for (int i = 0; i < 2; ++i)
      for (int h = 0; h < 2; ++h) high[i][h] = S::max(S::load(s + (t + i) * L + h * W), high[i][h]);
  for (int t = unmasked; t < tokens; ++t)
    for (int h = 0; h < 2; ++h) {
      const V x = S::if_at_least(seen[h], S::set(static_cast<float>(t + 1)), S::load(s + t * L + h * W), none);
      S::store(s + t * L + h * W, x);
      high[0][h] = S::max(x, high[0][h]);
    }
  V shift[2], keep[2], total[2][2];
  for (int h = 0; h < 2; ++h) {
    const V now = S::max(high[0][h], high[1][h]);
    S::store(top + h * W, now);
    shift[h] = now * S::set(c);
    keep[h] = exp2<Level>((before[h] - now) * S::set(c));
    total[0][h] = S::load(sum + h * W) * keep[h];
    total[1][h] = S::zero();
  }
  for (int t = 0; t < tokens; t += 2)
    for (int h = 0; h < 2; ++h) {
      const V even = Mma::exponential(S::fma(S::load(s + t * L + h * W), S::set(c), S::zero() - shift[h]));
      const V odd = Mma::exponential(S::fma(S::load(s + (t + 1) * L + h * W), S::set(c), S::zero() - shift[h]));
      total[0][h] = total[0][h] + even;
      total[1][h] = total[1][h] + odd;
      Mma::put(p, t, h, even, odd);
    }
  for (int h = 0; h < 2; ++h) S::store(sum + h * W, total[0][h] + total[1][h]);
  if (fresh || (S::above(S::set(1), keep[0]) | S::above(S::set(1), keep[1])) == 0) return;  // nothing yet, or no maximum grew
  for (int i = 0; i < d; ++i)
    for (int h = 0; h < 2; ++h) S::store(o + i * L + h * W, S::load(o + i * L + h * W) * keep[h]);
}

template <class Level, class Mma, class T, class Kv> void prefill_block(const AttentionTask<T, Kv>& a, float* scratch) {
  using S = Simd<Level>;
  constexpr int W = S::width, L = 2 * W;
  constexpr float log2e = 1.44269504f;
  const int d = a.d, lanes = a.rows * a.group, tiles = (lanes + L - 1) / L, padded = tiles * L;
  Carve<Level> carve{scratch};
  auto* q = carve.template take<typename Mma::Query>(padded * d);
  auto* o = carve.template take<float>(padded * d);
  auto* keys = carve.template take<typename Mma::Keys>(key_chunk * d);
  auto* values = carve.template take<typename Mma::Values>(key_chunk * d);
  auto* s = carve.template take<float>(key_chunk * L);
  auto* p = carve.template take<typename Mma::Probability>(key_chunk * L);
  auto* rows = carve.template take<float>(L * d);
  auto* top = carve.template take<float>(padded);
  auto* sum = carve.template take<float>(padded);
  auto* visible = carve.template take<float>(padded);  // tokens that a lane sees: exact in float far beyond any context
  for (int i = 0; i < padded; ++i) {
    top[i] = -__builtin_inff();
    sum[i] = 0;
    visible[i] = static_cast<float>(a.context - a.rows + 1 + (i < lanes ? i / a.group : a.rows - 1));
  }
  for (int tile = 0; tile < tiles; ++tile)
    Mma::pack_queries(a, tile * L, lanes - tile * L < L ? lanes - tile * L : L, q + static_cast<std::ptrdiff_t>(tile) * L * d);

  for (int first = 0; first < a.context; first += key_chunk) {
    const int chunk = a.context - first < key_chunk ? a.context - first : key_chunk;
    Mma::pack(a, first, chunk, keys, values);
    for (int tile = 0; tile < tiles; ++tile) {
      const int least = static_cast<int>(visible[tile * L]) - first, most = static_cast<int>(visible[tile * L + L - 1]) - first;
      if (most <= 0) continue;
      const int needed = most < chunk ? most : chunk;
      const int tokens = (needed + Mma::token_step - 1) / Mma::token_step * Mma::token_step;
      const int unmasked = least < 0 ? 0 : least < needed ? least / 2 * 2 : needed / 2 * 2;
      alignas(64) float seen[L];
      for (int i = 0; i < L; i += W) S::store(seen + i, S::load(visible + tile * L + i) - S::set(static_cast<float>(first)));
      float* tile_o = o + static_cast<std::ptrdiff_t>(tile) * L * d;
      Mma::scores(a, q + static_cast<std::ptrdiff_t>(tile) * L * d, keys, first, tokens, s);
      softmax_tile<Level, Mma>(s, tokens, unmasked, seen, a.scale * log2e, top + tile * L, sum + tile * L, tile_o, d, first == 0,
                               p);
      Mma::add(p, values, tokens, d, first == 0, tile_o);
    }
  }

  for (int tile = 0; tile < tiles; ++tile) {
    float* tile_o = o + static_cast<std::ptrdiff_t>(tile) * L * d;
    for (int h = 0; h < 2; ++h) {
      const auto inverse = S::set(1) / S::load(sum + tile * L + h * W);
      for (int i = 0; i < d; ++i) S::store(tile_o + i * L + h * W, S::load(tile_o + i * L + h * W) * inverse);
    }
    Mma::rows(tile_o, d, rows);
    for (int i = 0; i < L && tile * L + i < lanes; ++i) {
      const int lane = tile * L + i;
      T* to = a.o + lane / a.group * a.ldo + static_cast<std::ptrdiff_t>(lane % a.group) * d;
      for (int j = 0; j < d; j += W) S::store(to + j, S::load(rows + i * d + j));
    }
  }
}

}  // namespace atom::cpu
