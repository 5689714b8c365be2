// Prefill, and decode of many query heads per KV head, on tile registers: bf16 in, float sums.
// One idea: a tile of the left operand is rows as they lie in memory, so a page of keys is one without packing: S = K Q^T. Only
// queries (once) and values (once per chunk and task) are transposed; probabilities are rounded to bf16 on their way, and so are
// the values of a quantised cache. Its keys are unpacked as codes; scores get the scales. Keys and values pass by once per tile of
// queries: loading them as a stream keeps queries and probabilities in L1.
#include <type_traits>

#include "attention_decode.hpp"
#include "attention_prefill.hpp"

namespace atom::cpu {
namespace {

constexpr int L = 32;  // lanes of a tile of queries: two tile registers

struct TileConfig {
  unsigned char palette = 1, start_row = 0, reserved[14] = {};
  unsigned short row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  unsigned char rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
alignas(64) constinit const TileConfig all_tiles_whole;

/// r[i] dword j becomes r[j] dword i.
[[gnu::always_inline]] inline void transpose(__m512i (&r)[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4)
    for (int j = 0; j < 2; ++j) {
      r[i + 2 * j] = _mm512_unpacklo_epi64(t[i + j], t[i + j + 2]);
      r[i + 2 * j + 1] = _mm512_unpackhi_epi64(t[i + j], t[i + j + 2]);
    }
  for (int i = 0; i < 16; i += 8)
    for (int j = 0; j < 4; ++j) {
      t[i + j] = _mm512_shuffle_i32x4(r[i + j], r[i + j + 4], 0x88);
      t[i + j + 4] = _mm512_shuffle_i32x4(r[i + j], r[i + j + 4], 0xdd);
    }
  for (int j = 0; j < 8; ++j) {
    r[j] = _mm512_shuffle_i32x4(t[j], t[j + 8], 0x88);
    r[j + 8] = _mm512_shuffle_i32x4(t[j], t[j + 8], 0xdd);
  }
}

/// 32 elements of a cache in bf16: codes, which are exact in it, times `factor`.
template <class Kv> __m512i widened(const kernels::cache_element<Kv>* at, [[maybe_unused]] float factor) {
  using S = Simd<Amx>;
  if constexpr (kernels::has_scales<Kv>)
    return __builtin_bit_cast(__m512i, _mm512_cvtne2ps_pbh(S::load(at + 16) * S::set(factor), S::load(at) * S::set(factor)));
  else
    return _mm512_loadu_si512(at);
}

template <class Kv> struct TileMma {
  using S = Simd<Amx>;
  using V = S::V;
  using Task = AttentionTask<bf16, Kv>;
  using Element = kernels::cache_element<Kv>;
  static constexpr bool unpacked = kernels::has_scales<Kv>;
  using Query = bf16;                                     // tiles (d / 32, 2) of [16 channel pairs][16 lanes]
  using Keys = std::conditional_t<unpacked, bf16, char>;  // (tokens, d), or unused: read where they lie
  using Values = bf16;                                    // tiles (tokens / 32, d / 16) of [16 channels][32 tokens]
  using Probability = bf16;                               // tiles (tokens / 32, 2) of [16 token pairs][16 lanes]
  static constexpr int token_step = 32;

  static void pack_queries(const Task& a, int first, int n, Query* q) {
    const bf16* lanes[L];
    lane_pointers<Amx>(a.q, a.ldq, a.d, a.group, first, n, lanes);
    for (int h = 0; h < 2; ++h)
      for (int x = 0; x < a.d; x += 32) {
        __m512i r[16];
        for (int i = 0; i < 16; ++i) r[i] = h * 16 + i < n ? _mm512_loadu_si512(lanes[h * 16 + i] + x) : _mm512_setzero_si512();
        transpose(r);
        for (int i = 0; i < 16; ++i) _mm512_store_si512(q + (x / 32 * 2 + h) * 512 + i * 32, r[i]);
      }
  }

  static void pack(const Task& a, int first, int n, [[maybe_unused]] Keys* keys, Values* values) {
    if constexpr (unpacked)
      for (int t = 0; t < (n + token_step - 1) / token_step * token_step; ++t)
        for (int x = 0; x < a.d; x += 32)
          _mm512_store_si512(keys + t * a.d + x, t < n ? widened<Kv>(page_of(a, a.k, first + t) + (first + t) % page * a.d + x, 1)
                                                       : _mm512_setzero_si512());
    for (int t = 0; t < n; t += 32)
      for (int x = 0; x < a.d; x += 32) {
        __m512i low[16], high[16];  // pairs of tokens; channels 0-3 8-11 16-19 24-27, and 4-7 12-15 ...
        for (int i = 0; i < 16; ++i) {
          const __m512i even = row(a, first, t + 2 * i, n, x), odd = row(a, first, t + 2 * i + 1, n, x);
          low[i] = _mm512_unpacklo_epi16(even, odd);
          high[i] = _mm512_unpackhi_epi16(even, odd);
        }
        transpose(low);
        transpose(high);
        bf16* tiles = values + (t / 32 * (a.d / 16) + x / 16) * 512;
        for (int i = 0; i < 16; ++i) {
          const int channel = i / 4 * 8 + i % 4;
          _mm512_store_si512(tiles + channel * 32, low[i]);
          _mm512_store_si512(tiles + (channel + 4) * 32, high[i]);
        }
      }
  }

  static void scores(const Task& a, const Query* q, const Keys* keys, int first, int n, float* s, auto&& beside) {
    written();
    const std::size_t stride = static_cast<std::size_t>(a.d) * sizeof(bf16);
    for (int t = 0; t < n; t += 32) {
      const auto [k0, k1] = two_pages(a, keys, first, t);
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      for (int x = 0; x < a.d; x += 32) {
        _tile_stream_loadd(4, k0 + x, stride);
        _tile_loadd(6, q + x * 32, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, q + x * 32 + 512, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_stream_loadd(5, k1 + x, stride);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        beside();
      }
      _tile_stored(0, s + t * L, L * sizeof(float));
      _tile_stored(1, s + t * L + 16, L * sizeof(float));
      _tile_stored(2, s + (t + 16) * L, L * sizeof(float));
      _tile_stored(3, s + (t + 16) * L + 16, L * sizeof(float));
      if constexpr (unpacked) {
        written();
        scale_page(a, first + t, s + t * L);
        if (first + t + page < a.context) scale_page(a, first + t + page, s + (t + page) * L);  // else masked
      }
    }
  }

  /// x <= 8. Relative error 9e-5; exact at whole x.
  static V exponential(V x) {
    const V f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    V p = S::fma(S::set(0.077067042f), f, S::set(0.2276449912f));
    p = S::fma(p, f, S::set(0.6951167864f));
    return _mm512_scalef_ps(S::fma(p, f, S::set(1)), x);
  }

  static void put(Probability* p, int token, int half, V even, V odd) {
    _mm512_store_si512(p + (token / 32 * 2 + half) * 512 + token % 32 * 16, pairs(even, odd));
  }

  static void add(const Probability* p, const Values* values, int n, int d, bool fresh, float* o, auto&& beside) {
    written();
    constexpr std::size_t stride = L * sizeof(float);
    for (int x = 0; x < d; x += 32) {
      float* to = o + x * L;
      if (fresh) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
      } else {
        _tile_loadd(0, to, stride);
        _tile_loadd(1, to + 16, stride);
        _tile_loadd(2, to + 16 * L, stride);
        _tile_loadd(3, to + 16 * L + 16, stride);
      }
      for (int t = 0; t < n; t += 32) {
        const bf16* v = values + (t / 32 * (d / 16) + x / 16) * 512;
        _tile_stream_loadd(4, v, 64);
        _tile_loadd(6, p + t * 32, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, p + t * 32 + 512, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_stream_loadd(5, v + 512, 64);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        beside();
      }
      _tile_stored(0, to, stride);
      _tile_stored(1, to + 16, stride);
      _tile_stored(2, to + 16 * L, stride);
      _tile_stored(3, to + 16 * L + 16, stride);
    }
  }

  static void put_rows(const Task& a, int first, int n, const float* o, const float* sum) {
    bf16* lanes[L];
    lane_pointers<Amx>(a.o, a.ldo, a.d, a.group, first, n, lanes);
    for (int h = 0; h < 2; ++h) {
      const V inverse = S::set(1) / S::load(sum + h * 16);
      for (int x = 0; x < a.d; x += 32) {
        __m512i r[16];
        for (int i = 0; i < 16; ++i) {
          const float* at = o + (x + 2 * i) * L + h * 16;
          r[i] = pairs(S::load(at) * inverse, S::load(at + L) * inverse);
        }
        transpose(r);
        for (int i = 0; i < 16 && h * 16 + i < n; ++i) _mm512_storeu_si512(lanes[h * 16 + i] + x, r[i]);
      }
    }
  }

 private:
  /// What was stored before is read by tile loads, of whose memory the compiler knows nothing.
  static void written() { asm volatile("" : : : "memory"); }

  /// Lane by lane, `even` and `odd` in bf16, next to each other.
  static __m512i pairs(V even, V odd) {
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4,
                                           19, 3, 18, 2, 17, 1, 16, 0);
    const __m512bh both = _mm512_cvtne2ps_pbh(odd, even);
    return _mm512_permutexvar_epi16(order, __builtin_bit_cast(__m512i, both));
  }

  /// The keys of tokens t and t + page of the chunk, and of those behind each.
  struct TwoPages {
    const bf16 *first, *second;
  };
  static TwoPages two_pages(const Task& a, [[maybe_unused]] const Keys* keys, int first, int t) {
    if constexpr (unpacked) {
      return {keys + t * a.d, keys + (t + page) * a.d};
    } else {
      const bf16* k = page_of(a, a.k, first + t);
      return {k, first + t + page < a.context ? page_of(a, a.k, first + t + page) : k};  // else masked
    }
  }
  static const Element* page_of(const Task& a, const Element* pages_of, int token) {
    return pages_of + a.pages[token / page] * a.page_stride;
  }

  /// Scores of a page whose first token is `token`, as if its keys had been multiplied by their scales.
  static void scale_page(const Task& a, int token, float* s) {
    const float* scales = scales_of<Amx, Kv>(page_of(a, a.k, token), a.d);
    for (int i = 0; i < page; ++i)
      for (int h = 0; h < 2; ++h) S::store(s + i * L + h * 16, S::load(s + i * L + h * 16) * S::set(scales[i]));
  }

  /// 32 channels of the value of token t of the chunk, zeros behind its end.
  static __m512i row(const Task& a, int first, int t, int n, int x) {
    if (t >= n) return _mm512_setzero_si512();
    const int token = (first + t) % page;
    const Element* rows = page_of(a, a.v, first + t);
    return widened<Kv>(rows + token * a.d + x, scale_of<Amx, Kv>(rows, token, a.d));
  }
};

/// One row of up to 16 query heads, a block of tokens at a time: scores of all heads by tiles, with pages of keys as they lie; then
/// probabilities; then outputs, with neighbouring tokens of the values interleaved.
template <class Kv> class TileDecode {
  using S = Simd<Amx>;
  using Task = AttentionTask<bf16, Kv>;
  using Element = kernels::cache_element<Kv>;
  static constexpr int heads = 16, block = decode_block;

 public:
  TileDecode(const Task& a, int first, int last, float* scratch) : a_(a), d_(a.d), last_(last) {
    Carve<Amx> carve{scratch};
    q_ = carve.take<bf16>(heads * d_);
    o_ = carve.take<float>(heads * d_);
    by_token_ = carve.take<float>(block * heads);
    s_ = carve.take<float>(heads * block);
    p_ = carve.take<bf16>(heads * block);
    v_ = carve.take<bf16>(block * 32);
    k_ = carve.take<bf16>(4 * page * d_);
    for (int t = first; t < first + block; t += page) expect(a.k, t), expect(a.v, t);
    for (int i = 0; i < heads * d_; i += 16) S::store(o_ + i, S::zero());
    for (int i = 0; i < heads * block; i += 32) _mm512_store_si512(p_ + i, _mm512_setzero_si512());
    for (int x = 0; x < d_; x += 32) {
      __m512i r[16];
      for (int h = 0; h < heads; ++h) r[h] = h < a.group ? _mm512_loadu_si512(a.q + h * d_ + x) : _mm512_setzero_si512();
      transpose(r);
      for (int i = 0; i < 16; ++i) _mm512_store_si512(q_ + x * heads + i * 32, r[i]);
    }
  }

  /// Tokens [begin, begin + n), n <= block; beside the partials' largest scores and sums, at `stride` floats.
  void run(int begin, int n, float* largest, int stride) {
    scores(begin, n);
    const int padded = (n + 31) / 32 * 32;
    for (int h = 0; h < a_.group; ++h) {
      float* s = s_ + h * block;
      for (int t = begin; t < a_.context - a_.window; ++t) s[t - begin] = -__builtin_inff();  // of the window's first page
      for (int t = n; t < padded; ++t) s[t] = -__builtin_inff();
      soften<Amx>(s, padded, largest[h * stride], largest[h * stride + 1], o_ + h * d_, d_);
      for (int t = 0; t < padded; t += 32)
        _mm512_store_si512(p_ + h * block + t,
                           __builtin_bit_cast(__m512i, _mm512_cvtne2ps_pbh(S::load(s + t + 16), S::load(s + t))));
    }
    for (int x = 0; x < d_; x += 32) add(begin, n, padded, x);
  }

  /// The outputs, channels in order, `stride` floats apart.
  void put(float* to, int stride) const {
    const __m512i low = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    for (int h = 0; h < a_.group; ++h)
      for (int x = 0; x < d_; x += 32) {
        const auto even = S::load(o_ + h * d_ + x), odd = S::load(o_ + h * d_ + x + 16);
        S::store(to + h * stride + x, _mm512_permutex2var_ps(even, low, odd));
        S::store(to + h * stride + x + 16, _mm512_permutex2var_ps(even, high, odd));
      }
  }

 private:
  const Element* page_of(const Element* pages, int token) const { return pages + a_.pages[token / page] * a_.page_stride; }
  /// Brings 32 channels' worth of a page closer, with the first its scales.
  [[gnu::always_inline]] void fetch(const Element* at, int part) const {
    constexpr int line = 64 / static_cast<int>(sizeof(Element));
    for (int i = 0; i < page * 32; i += line) _mm_prefetch(reinterpret_cast<const char*>(at + part * page * 32 + i), _MM_HINT_T0);
    if (kernels::has_scales<Kv> && part == 0) _mm_prefetch(reinterpret_cast<const char*>(at + page * d_), _MM_HINT_T0);
  }
  /// Announces a page that is fetched a block later.
  [[gnu::always_inline]] void expect(const Element* pages, int token) const {
    if (token < last_) announce<Amx>(page_of(pages, token));
  }
  /// The keys of a page in bf16: where they lie, or their codes as one of four.
  const bf16* keys(const Element* rows, [[maybe_unused]] int place) const {
    if constexpr (kernels::has_scales<Kv>) {
      bf16* to = k_ + place * page * d_;
      for (int i = 0; i < page * d_; i += 32) _mm512_store_si512(to + i, widened<Kv>(rows + i, 1));
      return to;
    } else {
      return rows;
    }
  }

  void scores(int begin, int n) {
    const std::size_t stride = static_cast<std::size_t>(d_) * sizeof(bf16);
    for (int t = 0; t < n; t += 4 * page) {
      const bf16* k[4] = {keys(page_of(a_.k, begin + t), 0)};
      const int most = (n - 1 - t) / page;  // pages behind the last are made of the first, and masked
      for (int i = 1; i < 4; ++i) k[i] = i <= most ? keys(page_of(a_.k, begin + t + i * page), i) : k[0];
      asm volatile("" : : : "memory");
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      for (int x = 0; x < d_; x += 32) {
        _tile_loadd(4, q_ + x * heads, 64);
        _tile_loadd(5, k[0] + x, stride);
        _tile_dpbf16ps(0, 5, 4);
        _tile_loadd(6, k[1] + x, stride);
        _tile_dpbf16ps(1, 6, 4);
        _tile_loadd(7, k[2] + x, stride);
        _tile_dpbf16ps(2, 7, 4);
        _tile_loadd(5, k[3] + x, stride);
        _tile_dpbf16ps(3, 5, 4);
        for (int i = 0; i < 4 && i <= most; ++i) {
          const int token = begin + t + i * page;
          fetch(page_of(a_.v, token), x / 32);
          if (x == 0) expect(a_.k, token + block);
        }
      }
      float* s = by_token_ + t * heads;
      _tile_stored(0, s, 64);
      _tile_stored(1, s + 16 * heads, 64);
      _tile_stored(2, s + 32 * heads, 64);
      _tile_stored(3, s + 48 * heads, 64);
    }
    asm volatile("" : : : "memory");
    const auto c = S::set(a_.scale * log2_e);
    for (int t = 0; t < n; t += page) {
      __m512i r[16];
      for (int i = 0; i < 16; ++i) r[i] = _mm512_load_si512(by_token_ + (t + i) * heads);
      transpose(r);
      auto factor = c;
      if constexpr (kernels::has_scales<Kv>) factor = c * S::load(scales_of<Amx, Kv>(page_of(a_.k, begin + t), d_));
      for (int h = 0; h < a_.group; ++h) S::store(s_ + h * block + t, _mm512_castsi512_ps(r[h]) * factor);
    }
  }

  /// 32 channels of the outputs. Interleaving halves of 128 bits leaves them in another order, which put() undoes.
  void add(int begin, int n, int padded, int x) {
    for (int t = 0; t < padded; t += page) {
      const Element* v = t < n ? page_of(a_.v, begin + t) : nullptr;
      const int next = begin + block + t;
      if (next < last_) fetch(page_of(a_.k, next), x / 32);
      if (x == 0) expect(a_.v, next);
      const auto channels = [&](int i) { return widened<Kv>(v + i * d_ + x, scale_of<Amx, Kv>(v, i, d_)); };
      for (int i = 0; i < page; i += 2) {  // behind the last token may lie anything, NaN too
        const __m512i even = t + i < n ? channels(i) : _mm512_setzero_si512();
        const __m512i odd = t + i + 1 < n ? channels(i + 1) : _mm512_setzero_si512();
        bf16* to = v_ + t / 32 * 1024 + (t % 32 + i) / 2 * 32;
        _mm512_store_si512(to, _mm512_unpacklo_epi16(even, odd));
        _mm512_store_si512(to + 512, _mm512_unpackhi_epi16(even, odd));
      }
    }
    asm volatile("" : : : "memory");
    const std::size_t stride = static_cast<std::size_t>(d_) * sizeof(float);
    _tile_loadd(0, o_ + x, stride);
    _tile_loadd(1, o_ + x + 16, stride);
    for (int t = 0; t < padded; t += 32) {
      _tile_loadd(4, p_ + t, block * sizeof(bf16));
      _tile_loadd(5, v_ + t * 32, 64);
      _tile_dpbf16ps(0, 4, 5);
      _tile_loadd(6, v_ + t * 32 + 512, 64);
      _tile_dpbf16ps(1, 4, 6);
    }
    _tile_stored(0, o_ + x, stride);
    _tile_stored(1, o_ + x + 16, stride);
    asm volatile("" : : : "memory");
  }

  const Task& a_;
  const int d_, last_;
  bf16* q_;          // tiles (d / 32) of [16 channel pairs][16 heads]
  float* o_;         // (heads, d)
  float* by_token_;  // (block, heads): scores
  float* s_;         // (heads, block): the same, in powers of two
  bf16* p_;          // (heads, block)
  bf16* v_;          // tiles (block / 32, 2) of [16 token pairs][16 channels]
  bf16* k_;          // four pages, (page, d), of a quantised cache
};

}  // namespace

template <class Kv>
void Attention<Amx, bf16, Kv>::decode(const AttentionTask<bf16, Kv>& a, int first, int tokens, float* partials, float* scratch) {
  const int last = first + tokens, stride = a.d + partial_extra;
  for (int h = 0; h < a.group; ++h) {
    partials[h * stride + a.d] = -__builtin_inff();
    partials[h * stride + a.d + 1] = 0;
  }
  _tile_loadconfig(&all_tiles_whole);
  TileDecode<Kv> decode(a, first, last, scratch);
  for (int begin = first; begin < last; begin += decode_block)
    decode.run(begin, last - begin < decode_block ? last - begin : decode_block, partials + a.d, stride);
  decode.put(partials, stride);
  _tile_release();
}

template <class Kv> void Attention<Amx, bf16, Kv>::prefill(const AttentionTask<bf16, Kv>& a, float* scratch) {
  const unsigned control = _mm_getcsr();
  _mm_setcsr(control | 0x8040);  // probabilities too small for a float are zero, not denormal: those cost 100 cycles each
  _tile_loadconfig(&all_tiles_whole);
  prefill_block<Amx, TileMma<Kv>>(a, scratch);
  _tile_release();
  _mm_setcsr(control);
}

template struct Attention<Amx, bf16, bf16>;
template struct Attention<Amx, bf16, quant::PerToken<int8>>;
template struct Attention<Amx, bf16, quant::PerToken<fp8_e4m3>>;

}  // namespace atom::cpu
