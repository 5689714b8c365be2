#pragma once
// One query row per sequence, for one level: bound by reading the cache.
// One idea: of the page after the next the first lines are asked for, which starts the hardware's own prefetching of a page that
// lies apart from the one before; of the next page all lines, a few at a time.
#include "attention.hpp"
#include "simd_pair.hpp"

namespace atom::cpu {

// Forced inline: g++ takes a function that only prefetches for one without effect, and drops calls of it.

/// Brings the rows of a page that lie `tokens` in from `token` into the cache.
template <class Level, class Element> [[gnu::always_inline]] inline void prefetch_rows(const Element* rows, int tokens, int d) {
  const char* p = reinterpret_cast<const char*>(rows);
  const std::ptrdiff_t bytes = static_cast<std::ptrdiff_t>(tokens) * d * static_cast<std::ptrdiff_t>(sizeof(Element));
  for (std::ptrdiff_t i = 0; i < bytes; i += 64) _mm_prefetch(p + i, _MM_HINT_T0);
}

/// Begins to bring a page closer.
template <class Level, class Element> [[gnu::always_inline]] inline void announce(const Element* rows) {
  constexpr int lines = 10;  // 8 to 12 are as fast, 4 and 16 are not
  for (int i = 0; i < lines; ++i) _mm_prefetch(reinterpret_cast<const char*>(rows) + 64 * i, _MM_HINT_T1);
}

/// How channels become vectors, two at a time, or One where a head's width leaves one: bf16 as even and odd channels, which costs
/// least, others as they lie.
template <class Level, class Element> struct Channels {
  using S = Simd<Level>;
  using P = Pair<Level>;
  struct Two {};
  struct One {};
  static constexpr bool sorts = __is_same(Element, bf16);

  static P load(const Element* p, Two) {
    if constexpr (sorts)
      return Pairs<Level, bf16>::load(p, typename Pairs<Level, bf16>::Whole{});
    else
      return {S::load(p), S::load(p + S::width)};
  }
  static P load(const Element* p, One) { return {S::load(p), S::zero()}; }
  /// Floats that were stored by store().
  static P again(const float* p, Two) { return Pairs<Level, float>::in_order(p); }
  static P again(const float* p, One) { return {S::load(p), S::zero()}; }
  static void store(float* p, P v, Two) { Pairs<Level, float>::store_in_order(p, v); }
  static void store(float* p, P v, One) { S::store(p, v.even); }
  /// Brings floats, (d), into this order, and back.
  static void sort(float* p, int d) {
    if constexpr (sorts)
      for (; d >= 2 * S::width; d -= 2 * S::width, p += 2 * S::width)
        store(p, {S::evens(S::load(p), S::load(p + S::width)), S::odds(S::load(p), S::load(p + S::width))}, Two{});
  }
  static void unsort(float* p, int d) {
    if constexpr (sorts)
      for (; d >= 2 * S::width; d -= 2 * S::width, p += 2 * S::width) {
        const P v = again(p, Two{});
        store(p, {S::alternating_low(v.even, v.odd), S::alternating_high(v.even, v.odd)}, Two{});
      }
  }
  /// Calls step(channel, Two or One) for all of d.
  template <class Step> static void each(int d, Step step) {
    int i = 0;
    for (; i + 2 * S::width <= d; i += 2 * S::width) step(i, Two{});
    if (i < d) step(i, One{});
  }
};

/// scores[h * decode_block + t] = q[h] . k[t] for H heads and four tokens.
template <class Level, int H, class Element> void score4(const float* q, const Element* k, int d, float* scores) {
  using S = Simd<Level>;
  using C = Channels<Level, Element>;
  typename S::V sum[H][4];
  for (int h = 0; h < H; ++h)
    for (int t = 0; t < 4; ++t) sum[h][t] = S::zero();
  C::each(d, [&](int i, auto size) {
    for (int t = 0; t < 4; ++t) {
      const auto x = C::load(k + t * d + i, size);
      for (int h = 0; h < H; ++h) {
        const auto y = C::again(q + h * d + i, size);
        sum[h][t] = S::fma(y.odd, x.odd, S::fma(y.even, x.even, sum[h][t]));
      }
    }
  });
  for (int h = 0; h < H; ++h) _mm_storeu_ps(scores + h * decode_block, S::sum4(sum[h][0], sum[h][1], sum[h][2], sum[h][3]));
}

/// o[h] += sum over N tokens of p[h][t] * v[t].
template <class Level, int N, class Element>
void weigh(const float* p, const Element* v, int d, int group, float* o, int o_stride) {
  using S = Simd<Level>;
  using C = Channels<Level, Element>;
  C::each(d, [&](int i, auto size) {
    Pair<Level> x[N];
    for (int t = 0; t < N; ++t) x[t] = C::load(v + t * d + i, size);
    for (int h = 0; h < group; ++h) {
      auto sum = C::again(o + h * o_stride + i, size);
      for (int t = 0; t < N; ++t) {
        const auto weight = S::set(p[h * decode_block + t]);
        sum = fma(x[t], {weight, weight}, sum);
      }
      C::store(o + h * o_stride + i, sum, size);
    }
  });
}

/// Multiplies p, (group, decode_block), by the scales of tokens [begin, end), page by page: what lies behind `end` becomes
/// anything.
template <class Level, class T, class Kv>
void scale_tokens(const AttentionTask<T, Kv>& a, const kernels::cache_element<Kv>* pages_of, int begin, int end, float* p) {
  using S = Simd<Level>;
  for (int t = begin; t < end; t += page) {
    const float* scales = scales_of<Level, Kv>(pages_of + a.pages[t / page] * a.page_stride, a.d);
    for (int h = 0; h < a.group; ++h)
      for (int i = 0; i < page; i += S::width) {
        float* at = p + h * decode_block + t - begin + i;
        S::store(at, S::load(at) * S::load(scales + i));
      }
  }
}

/// Scores of n tokens, a multiple of the vector width, become probabilities beside what o, (d), stands for: their largest score so
/// far and the sum of their probabilities.
template <class Level> void soften(float* s, int n, float& top, float& sum, float* o, int d) {
  using S = Simd<Level>;
  auto most = S::set(top), total = S::zero();
  for (int t = 0; t < n; t += S::width) most = S::max(S::load(s + t), most);
  const float highest = S::largest(most);
  if (highest > top) {
    const auto keep = exp2<Level>(S::set(top - highest));
    for (int i = 0; i < d; i += S::width) S::store(o + i, S::load(o + i) * keep);
    top = highest;
    sum *= S::first(keep);
  }
  for (int t = 0; t < n; t += S::width) {
    const auto e = exp2<Level>(S::load(s + t) - S::set(highest));
    total = total + e;
    S::store(s + t, e);
  }
  sum += S::sum(total);
}

template <class Level, class T, class Kv>
[[gnu::flatten]] void Attention<Level, T, Kv>::decode(const AttentionTask<T, Kv>& a, int first, int tokens, float* partials,
                                                      float* scratch) {
  using S = Simd<Level>;
  using Element = kernels::cache_element<Kv>;
  using C = Channels<Level, Element>;
  constexpr int heads_at_once = S::width == 16 ? 4 : 2;  // times four tokens: what the registers hold
  constexpr int values_at_once = S::width == 16 ? 8 : 4;
  const int d = a.d, group = a.group, stride = (d + partial_extra), last = first + tokens, unseen = a.context - a.window;
  float* q = scratch;
  float* p = q + static_cast<std::ptrdiff_t>(group) * d;  // (group, decode_block): scores, then probabilities
  for (int i = 0; i < group * d; i += S::width) S::store(q + i, S::load(a.q + i) * S::set(a.scale * log2_e));
  for (int h = 0; h < group; ++h) {
    C::sort(q + h * d, d);
    float* o = partials + h * stride;
    for (int i = 0; i < d; i += S::width) S::store(o + i, S::zero());
    o[d] = -__builtin_inff();
    o[d + 1] = 0;
  }
  const auto page_of = [&](const Element* pages_of, int token) { return pages_of + a.pages[token / page] * a.page_stride; };
  for (const Element* pages_of : {a.k, a.v})
    for (int t = first; t < last && t < first + 2 * page; t += page) announce<Level>(page_of(pages_of, t));
  // Calls step(rows of the page, first token in the chunk, tokens), the next pages of `pages_of` on their way into the cache.
  const auto walk = [&](const Element* pages_of, int begin, int end, int at_once, auto step) {
    for (int t = begin; t < end; t += page) {
      const Element* rows = page_of(pages_of, t);
      const Element* next = t + page < last ? page_of(pages_of, t + page) : nullptr;
      if (t + 2 * page < last) announce<Level>(page_of(pages_of, t + 2 * page));
      if constexpr (kernels::has_scales<Kv>)
        if (next) prefetch_rows<Level>(scales_of<Level, Kv>(next, d), 1, page);
      for (int i = 0; i < page && t + i < end; i += at_once) {
        if (next) prefetch_rows<Level>(next + i * d, at_once, d);
        const int left = end - t - i;
        step(rows + i * d, t + i - begin, left < at_once ? left : at_once);
      }
    }
  };
  for (int begin = first; begin < last; begin += decode_block) {
    const int end = last - begin < decode_block ? last : begin + decode_block, n = end - begin;
    walk(a.k, begin, end, 4,
         [&](const Element* k, int t, int) {  // a page always has its rows: what lies behind the last is masked below
           int h = 0;
           for (; h + heads_at_once <= group; h += heads_at_once)
             score4<Level, heads_at_once>(q + h * d, k, d, p + h * decode_block + t);
           if (h + 2 <= group) score4<Level, 2>(q + h * d, k, d, p + h * decode_block + t), h += 2;
           if (h < group) score4<Level, 1>(q + h * d, k, d, p + h * decode_block + t);
         });
    if constexpr (kernels::has_scales<Kv>) scale_tokens<Level>(a, a.k, begin, end, p);
    for (int h = 0; h < group; ++h) {
      float* s = p + h * decode_block;
      float* o = partials + h * stride;
      for (int t = begin; t < unseen; ++t) s[t - begin] = -__builtin_inff();  // of the window's first page
      int padded = n;
      for (; padded % S::width != 0; ++padded) s[padded] = -__builtin_inff();
      soften<Level>(s, padded, o[d], o[d + 1], o, d);
    }
    if constexpr (kernels::has_scales<Kv>) scale_tokens<Level>(a, a.v, begin, end, p);
    walk(a.v, begin, end, values_at_once, [&](const Element* v, int t, int count) {
      if (count == values_at_once)
        weigh<Level, values_at_once>(p + t, v, d, group, partials, stride);
      else
        for (int i = 0; i < count; ++i) weigh<Level, 1>(p + t + i, v + i * d, d, group, partials, stride);
    });
  }
  for (int h = 0; h < group; ++h) C::unsort(partials + h * stride, d);
}

template <class Level, class T, class Kv>
void Attention<Level, T, Kv>::merge(const AttentionTask<T, Kv>& a, float* partials, std::ptrdiff_t stride, int chunks) {
  using S = Simd<Level>;
  const int d = a.d;
  for (int h = 0; h < a.group; ++h) {
    float* part = partials + h * (d + partial_extra);
    const float sink = a.sinks ? a.sinks[h] * log2_e : -__builtin_inff();
    float highest = sink;
    for (int c = 0; c < chunks; ++c) highest = part[c * stride + d] > highest ? part[c * stride + d] : highest;
    float total = S::first(exp2<Level>(S::set(sink - highest)));
    for (int c = 0; c < chunks; ++c) {
      float& weight = part[c * stride + d];  // takes the place of the chunk's largest score
      weight = S::first(exp2<Level>(S::set(weight - highest)));
      total += weight * part[c * stride + d + 1];
    }
    for (int i = 0; i < d; i += S::width) {
      auto sum = S::zero();
      for (int c = 0; c < chunks; ++c) sum = S::fma(S::set(part[c * stride + d]), S::load(part + c * stride + i), sum);
      S::store(a.o + h * d + i, sum / S::set(total));
    }
  }
}

}  // namespace atom::cpu
