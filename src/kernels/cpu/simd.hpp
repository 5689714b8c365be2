#pragma once
// Simd<Level>: float vectors of one instruction-set level, so that one kernel text serves them all.
// One idea: arithmetic is float; memory is float, bf16, fp16, fp8 or int8, converted by load and store. Every function here and
// every kernel above is a template over the level's tag: code of different levels has different names, so the linker can never hand
// a function compiled for AVX-512 to a caller that runs without it. For the same reason kernels here call nothing shared and
// inline: no std algorithms, no conversions of atom::bf16.
// To extend: another level is a tag and a Simd of it with the same members.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push  // gcc 12's own AVX-512 header warns about the registers it means to leave undefined
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif
#include <cstddef>
#include <immintrin.h>

#include "atom/core/dtype.hpp"

#include "levels.hpp"

namespace atom::cpu {

template <class Level> struct Simd;

/// What the instruction sets have in common. V: a vector; Whole: all its lanes; Tail: its first few.
template <class Level> struct SimdBase {
  struct Whole {};
  // 2^f = 1 + f p(f) on [-1/2, 1/2], relative error 2e-9; and on [0, 1], relative error 9e-5.
  static constexpr float exp2_terms[] = {0.6931472029f,   0.2402264791f,   0.05550332471f,
                                         0.009618437332f, 0.001339887442f, 0.000153533690f};
  static constexpr float exp2_coarse_terms[] = {0.6951167864f, 0.2276449912f, 0.07706704200f};
};

#if defined(__AVX2__)
template <class Level> struct Simd256 : SimdBase<Level> {
  using V = __m256;
  using typename SimdBase<Level>::Whole;
  struct Tail {
    int n;
  };
  static constexpr int width = 8;
  static Tail tail(int n) { return {n}; }

  static V set(float x) { return _mm256_set1_ps(x); }
  static V zero() { return _mm256_setzero_ps(); }
  static V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }           // a * b + c
  static V negated_fma(V a, V b, V c) { return _mm256_fnmadd_ps(a, b, c); }  // c - a * b
  static V abs(V a) { return _mm256_andnot_ps(set(-0.0f), a); }
  static V min(V a, V b) { return _mm256_min_ps(a, b); }  // b where either is NaN
  static V max(V a, V b) { return _mm256_max_ps(a, b); }  // b where either is NaN
  static V round(V a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static V if_at_least(V a, V b, V yes, V no) { return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_GE_OQ)); }
  static V floor(V a) { return _mm256_floor_ps(a); }
  static unsigned above(V a, V b) { return bits(_mm256_cmp_ps(a, b, _CMP_GT_OQ)); }  // one bit per lane
  static unsigned at_least(V a, V b) { return bits(_mm256_cmp_ps(a, b, _CMP_GE_OQ)); }
  static unsigned equal(V a, V b) { return bits(_mm256_cmp_ps(a, b, _CMP_EQ_OQ)); }
  /// x = n + fraction, n whole; the fraction of an infinity is anything.
  static V split(V x, V& n) {
    n = round(x);
    return x - n;
  }
  /// p * 2^n for whole n: 0 where n < -126, even if p is NaN; infinity where n > 127.
  static V scale(V p, V n) {
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(min(set(128), n)), _mm256_set1_epi32(127));
    const V scaled = p * _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
    return _mm256_and_ps(scaled, _mm256_cmp_ps(n, set(-126), _CMP_NLT_UQ));
  }
  /// x, or -126 if that is more, = whole + fraction, the fraction 0 to 1; n: what scale_within() takes for the whole.
  static V split_down(V x, V& n) {
    x = max(set(-126), x), n = floor(x);
    return x - n;
  }
  /// p * 2^whole, for x up to 127.
  static V scale_within(V p, V n) {
    return p * _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
  }
  static float first(V a) { return _mm256_cvtss_f32(a); }
  static float sum(V a) {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
  }
  static float largest(V a) {
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
  }
  /// Lane sums of four vectors, in the lowest four lanes.
  static __m128 sum4(V a, V b, V c, V d) {
    const V s = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
  }

  static V load(const float* p) { return _mm256_loadu_ps(p); }
  static V load(const bf16* p) { return widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
  static V load(const fp16* p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
  static V load(const int8* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  /// No NaN: as fp16, whose exponents are 8 higher.
  static V load(const fp8_e4m3* p) {
    const __m128i codes = _mm_cvtepi8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    return _mm256_cvtph_ps(_mm_and_si128(_mm_slli_epi16(codes, 7), _mm_set1_epi16(static_cast<short>(0xbfff)))) * set(0x1p8f);
  }
  static void store(float* p, V v) { _mm256_storeu_ps(p, v); }
  static void store(bf16* p, V v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), upper_halves(round_to_bf16(v))); }
  static void store(int8* p, V v) {  // v: whole numbers in [-128, 127]
    const __m128i words = pack(_mm256_cvtps_epi32(v));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(words, words));
  }
  static void store(fp8_e4m3* p, V v) {  // |v| <= 448; as fp8_e4m3 rounds
    const __m256i u = _mm256_castps_si256(v), mag = _mm256_and_si256(u, _mm256_set1_epi32(0x7fffffff));
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(mag, 20), _mm256_set1_epi32(1));
    const __m256i normal =
        _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(mag, odd), _mm256_set1_epi32(0x7ffff - 0x3c000000)), 20);
    const __m256i small = _mm256_sub_epi32(_mm256_castps_si256(abs(v) + set(0x1p14f)), _mm256_set1_epi32(0x46800000));
    const __m256i code = _mm256_blendv_epi8(normal, small, _mm256_cmpgt_epi32(_mm256_set1_epi32(0x3c800000), mag));
    const __m256i sign = _mm256_and_si256(_mm256_srli_epi32(u, 24), _mm256_set1_epi32(0x80));
    const __m128i words = pack(_mm256_or_si256(code, sign));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
  }
  template <class P> static V load(const P* p, Tail t) {
    alignas(32) unsigned char whole[width * sizeof(P)] = {};
    __builtin_memcpy(whole, p, static_cast<std::size_t>(t.n) * sizeof(P));
    return load(reinterpret_cast<const P*>(whole));
  }
  template <class P> static void store(P* p, V v, Tail t) {
    alignas(32) unsigned char whole[width * sizeof(P)];
    store(reinterpret_cast<P*>(whole), v);
    __builtin_memcpy(p, whole, static_cast<std::size_t>(t.n) * sizeof(P));
  }
  template <class P> static V load(const P* p, Whole) { return load(p); }
  template <class P> static void store(P* p, V v, Whole) { store(p, v); }
  /// 1 / x, relative error 2^-22; 0 or anything tiny where that is denormal.
  static V reciprocal(V x) {
    const V y = _mm256_rcp_ps(x);
    return fma(y, negated_fma(x, y, set(1)), y);
  }
  /// The same, relative error 2^-14 or less.
  static V reciprocal_coarse(V x) { return reciprocal(x); }
  static V keep(V v, Tail t) {  // lanes beyond the tail become zero
    return _mm256_and_ps(
        v, _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(t.n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))));
  }
  static V keep(V v, Whole) { return v; }

  // Rows of bf16, two vectors at a time: the even elements and the odd ones (simd_pair.hpp).
  using Words = __m256i;
  struct WordTail {
    int n;
  };
  static WordTail word_tail(int n) { return {n}; }
  static Words load_words(const bf16* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static Words load_words(const bf16* p, WordTail t) {
    bf16 whole[2 * width] = {};
    __builtin_memcpy(whole, p, static_cast<std::size_t>(t.n) * sizeof(bf16));
    return load_words(whole);
  }
  static void store_words(bf16* p, Words w) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), w); }
  static void store_words(bf16* p, Words w, WordTail t) {
    bf16 whole[2 * width];
    store_words(whole, w);
    __builtin_memcpy(p, whole, static_cast<std::size_t>(t.n) * sizeof(bf16));
  }
  static V even(Words w) { return _mm256_castsi256_ps(_mm256_slli_epi32(w, 16)); }
  static V odd(Words w) { return upper(w); }
  static Words narrow(V even, V odd) {
    return _mm256_blend_epi16(_mm256_srli_epi32(round_to_bf16(even), 16), round_to_bf16(odd), 0xaa);
  }
  static void round_to_bf16(V& even, V& odd) { even = upper(round_to_bf16(even)), odd = upper(round_to_bf16(odd)); }
  /// To bf16, halves away from zero. Of a NaN: what a bf16 carries stays.
  static V near_bf16(V v) { return upper(_mm256_add_epi32(_mm256_castps_si256(v), _mm256_set1_epi32(0x8000))); }
  static Words no_words() { return _mm256_setzero_si256(); }
  /// Of magnitudes and the magnitudes of w the larger, lane by lane; a NaN is the largest. Likewise of floats.
  static Words larger(Words top, Words w) { return _mm256_max_epu16(top, _mm256_and_si256(w, _mm256_set1_epi16(0x7fff))); }
  static V larger(V top, V v) {
    return _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(top), _mm256_castps_si256(abs(v))));
  }
  static float largest_magnitude(V top) {
    const __m256i u = _mm256_castps_si256(top);
    __m128i x = _mm_max_epi32(_mm256_castsi256_si128(u), _mm256_extracti128_si256(u, 1));
    x = _mm_max_epi32(x, _mm_shuffle_epi32(x, 0x4e));
    return _mm_cvtss_f32(_mm_castsi128_ps(_mm_max_epi32(x, _mm_shuffle_epi32(x, 0xb1))));
  }
  static V evens(V low, V high) { return in_order(_mm256_shuffle_ps(low, high, 0x88)); }
  static V odds(V low, V high) { return in_order(_mm256_shuffle_ps(low, high, 0xdd)); }
  /// even[0], odd[0], even[1] ...: the first vector and the second.
  static V alternating_low(V even, V odd) {
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(even, odd), _mm256_unpackhi_ps(even, odd), 0x20);
  }
  static V alternating_high(V even, V odd) {
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(even, odd), _mm256_unpackhi_ps(even, odd), 0x31);
  }
  static __m128i bytes(V even, V odd) {  // whole numbers in [-128, 127]
    const __m256i words = _mm256_blend_epi16(_mm256_cvtps_epi32(even), _mm256_slli_epi32(_mm256_cvtps_epi32(odd), 16), 0xaa);
    return _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  }
  /// Byte j of every lane, signed.
  static void bytes_to_floats(const char* p, V (&v)[4]) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    v[0] = _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(x, 24), 24));
    v[1] = _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(x, 16), 24));
    v[2] = _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(x, 8), 24));
    v[3] = _mm256_cvtepi32_ps(_mm256_srai_epi32(x, 24));
  }
  static void store_bytes(int8* p, V even, V odd) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes(even, odd)); }
  static void store_bytes(int8* p, V even, V odd, WordTail t) {
    int8 whole[2 * width];
    store_bytes(whole, even, odd);
    __builtin_memcpy(p, whole, static_cast<std::size_t>(t.n));
  }

 private:
  static V upper(__m256i u) { return _mm256_castsi256_ps(_mm256_and_si256(u, _mm256_set1_epi32(static_cast<int>(0xffff0000)))); }
  static V in_order(V v) { return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), 0xd8)); }
  static unsigned bits(V mask) { return static_cast<unsigned>(_mm256_movemask_ps(mask)); }
  static V widen(__m128i raw) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(raw), 16)); }
  static __m128i pack(__m256i v) { return _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1)); }
  /// bf16 in the upper halves: nearest even, every NaN to 0x7fc0, as atom::bf16 does.
  static __m256i round_to_bf16(V v) {
    const __m256i u = _mm256_castps_si256(v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd);
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(up, _mm256_set1_epi32(0x7fc00000), nan);
  }
  static __m128i upper_halves(__m256i u) {
    const __m256i words = _mm256_srli_epi32(u, 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  }
};
template <> struct Simd<Avx2> : Simd256<Avx2> {};
#endif

#if defined(__AVX512F__)
template <class Level> struct Simd512 : SimdBase<Level> {
  using V = __m512;
  using typename SimdBase<Level>::Whole;
  struct Tail {
    __mmask16 mask;
  };
  static constexpr int width = 16;
  static Tail tail(int n) { return {static_cast<__mmask16>((1u << n) - 1)}; }

  static V set(float x) { return _mm512_set1_ps(x); }
  static V zero() { return _mm512_setzero_ps(); }
  static V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
  static V negated_fma(V a, V b, V c) { return _mm512_fnmadd_ps(a, b, c); }
  static V abs(V a) { return _mm512_abs_ps(a); }
  static V min(V a, V b) { return _mm512_min_ps(a, b); }
  static V max(V a, V b) { return _mm512_max_ps(a, b); }
  static V round(V a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static V if_at_least(V a, V b, V yes, V no) { return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GE_OQ), no, yes); }
  static V floor(V a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
  static unsigned above(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
  static unsigned at_least(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
  static unsigned equal(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
  static V split(V x, V& n) {
    const V fraction = _mm512_reduce_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    n = x - fraction;
    return fraction;
  }
  static V scale(V p, V n) {  // the mask also keeps denormal results, which cost 100 cycles each, from being made
    return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(n, set(-126), _CMP_NLT_UQ), p, n);
  }
  static V split_down(V x, V& n) {  // any x
    n = x;
    return _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  }
  static V scale_within(V p, V n) { return _mm512_scalef_ps(p, n); }  // by floor(n)
  static float first(V a) { return _mm512_cvtss_f32(a); }
  static float sum(V a) {
    const __m256 x = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
  }
  static float largest(V a) {
    const __m256 x = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
  }
  static __m128 sum4(V a, V b, V c, V d) {
    const V ab = _mm512_unpacklo_ps(a, b) + _mm512_unpackhi_ps(a, b), cd = _mm512_unpacklo_ps(c, d) + _mm512_unpackhi_ps(c, d);
    const V s = _mm512_shuffle_ps(ab, cd, 0x44) + _mm512_shuffle_ps(ab, cd, 0xee);  // a b c d in every 128 bits
    const __m256 x = _mm256_add_ps(_mm512_castps512_ps256(s), _mm512_extractf32x8_ps(s, 1));
    return _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  }

  static V load(const float* p) { return _mm512_loadu_ps(p); }
  static V load(const bf16* p) { return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
  static V load(const fp16* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
  static V load(const int8* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  static V load(const fp8_e4m3* p) {
    const __m256i codes = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return _mm512_cvtph_ps(_mm256_and_si256(_mm256_slli_epi16(codes, 7), _mm256_set1_epi16(static_cast<short>(0xbfff)))) *
           set(0x1p8f);
  }
  static void store(float* p, V v) { _mm512_storeu_ps(p, v); }
  static void store(bf16* p, V v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), upper_halves(round_to_bf16(v))); }
  static void store(int8* p, V v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v))); }
  static void store(fp8_e4m3* p, V v) {
    const __m512i u = _mm512_castps_si512(v), mag = _mm512_and_si512(u, _mm512_set1_epi32(0x7fffffff));
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(mag, 20), _mm512_set1_epi32(1));
    const __m512i normal =
        _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(mag, odd), _mm512_set1_epi32(0x7ffff - 0x3c000000)), 20);
    const __m512i small = _mm512_sub_epi32(_mm512_castps_si512(abs(v) + set(0x1p14f)), _mm512_set1_epi32(0x46800000));
    const __m512i code = _mm512_mask_mov_epi32(normal, _mm512_cmplt_epi32_mask(mag, _mm512_set1_epi32(0x3c800000)), small);
    const __m512i sign = _mm512_and_si512(_mm512_srli_epi32(u, 24), _mm512_set1_epi32(0x80));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_or_si512(code, sign)));
  }
  static V load(const float* p, Tail t) { return _mm512_maskz_loadu_ps(t.mask, p); }
  static V load(const bf16* p, Tail t) { return widen(_mm256_maskz_loadu_epi16(t.mask, p)); }
  static V load(const fp16* p, Tail t) { return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(t.mask, p)); }
  static void store(float* p, V v, Tail t) { _mm512_mask_storeu_ps(p, t.mask, v); }
  static void store(bf16* p, V v, Tail t) { _mm256_mask_storeu_epi16(p, t.mask, upper_halves(round_to_bf16(v))); }
  static void store(int8* p, V v, Tail t) { _mm_mask_storeu_epi8(p, t.mask, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v))); }
  template <class P> static V load(const P* p, Whole) { return load(p); }
  template <class P> static void store(P* p, V v, Whole) { store(p, v); }
  static V reciprocal(V x) {
    const V y = _mm512_rcp14_ps(x);
    return fma(y, negated_fma(x, y, set(1)), y);
  }
  static V reciprocal_coarse(V x) { return _mm512_rcp14_ps(x); }
  static V keep(V v, Tail t) { return _mm512_maskz_mov_ps(t.mask, v); }
  static V keep(V v, Whole) { return v; }

  using Words = __m512i;
  struct WordTail {
    __mmask32 mask;
  };
  static WordTail word_tail(int n) { return {(__mmask32{1} << n) - 1}; }
  static Words load_words(const bf16* p) { return _mm512_loadu_si512(p); }
  static Words load_words(const bf16* p, WordTail t) { return _mm512_maskz_loadu_epi16(t.mask, p); }
  static void store_words(bf16* p, Words w) { _mm512_storeu_si512(p, w); }
  static void store_words(bf16* p, Words w, WordTail t) { _mm512_mask_storeu_epi16(p, t.mask, w); }
  static V even(Words w) { return _mm512_castsi512_ps(_mm512_slli_epi32(w, 16)); }
  static V odd(Words w) { return upper(w); }
  static Words narrow(V even, V odd) {
    return _mm512_mask_blend_epi16(0xaaaaaaaa, _mm512_srli_epi32(round_to_bf16(even), 16), round_to_bf16(odd));
  }
  static void round_to_bf16(V& even, V& odd) { even = upper(round_to_bf16(even)), odd = upper(round_to_bf16(odd)); }
  static V near_bf16(V v) { return upper(_mm512_add_epi32(_mm512_castps_si512(v), _mm512_set1_epi32(0x8000))); }
  static Words no_words() { return _mm512_setzero_si512(); }
  static Words larger(Words top, Words w) { return _mm512_max_epu16(top, _mm512_and_si512(w, _mm512_set1_epi16(0x7fff))); }
  static V larger(V top, V v) {
    return _mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(top), _mm512_castps_si512(abs(v))));
  }
  static float largest_magnitude(V top) { return __builtin_bit_cast(float, _mm512_reduce_max_epi32(_mm512_castps_si512(top))); }
  static V evens(V low, V high) { return _mm512_permutex2var_ps(low, every_second(), high); }
  static V odds(V low, V high) { return _mm512_permutex2var_ps(low, _mm512_add_epi32(every_second(), _mm512_set1_epi32(1)), high); }
  static V alternating_low(V even, V odd) { return _mm512_permutex2var_ps(even, alternately(), odd); }
  static V alternating_high(V even, V odd) {
    return _mm512_permutex2var_ps(even, _mm512_add_epi32(alternately(), _mm512_set1_epi32(8)), odd);
  }
  static __m256i bytes(V even, V odd) {
    return _mm512_cvtepi16_epi8(
        _mm512_mask_blend_epi16(0xaaaaaaaa, _mm512_cvtps_epi32(even), _mm512_slli_epi32(_mm512_cvtps_epi32(odd), 16)));
  }
  static void bytes_to_floats(const char* p, V (&v)[4]) {
    const __m512i x = _mm512_loadu_si512(p);
    v[0] = _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(x, 24), 24));
    v[1] = _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(x, 16), 24));
    v[2] = _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(x, 8), 24));
    v[3] = _mm512_cvtepi32_ps(_mm512_srai_epi32(x, 24));
  }
  static void store_bytes(int8* p, V even, V odd) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), bytes(even, odd)); }
  static void store_bytes(int8* p, V even, V odd, WordTail t) { _mm256_mask_storeu_epi8(p, t.mask, bytes(even, odd)); }

 private:
  static V upper(__m512i u) { return _mm512_castsi512_ps(_mm512_and_si512(u, _mm512_set1_epi32(static_cast<int>(0xffff0000)))); }
  static __m512i alternately() { return _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23); }
  static __m512i every_second() { return _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30); }
  static V widen(__m256i raw) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(raw), 16)); }
  static __m512i round_to_bf16(V v) {
    const __m512i u = _mm512_castps_si512(v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd);
    return _mm512_mask_mov_epi32(up, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), _mm512_set1_epi32(0x7fc00000));
  }
  static __m256i upper_halves(__m512i u) { return _mm512_cvtepi32_epi16(_mm512_srli_epi32(u, 16)); }
};
template <> struct Simd<Avx512> : Simd512<Avx512> {};
template <> struct Simd<Amx> : Simd512<Amx> {};
#endif

#if defined(__AVX512BF16__)
/// Rounds pairs to bf16 in hardware. Unlike atom::bf16 that makes denormals 0 and keeps what a NaN carries.
template <> struct Simd<Avx512Bf16> : Simd512<Avx512Bf16> {
  static Words narrow(V even, V odd) {
    const __m512i halves = __builtin_bit_cast(__m512i, _mm512_cvtne2ps_pbh(odd, even));
    return _mm512_permutexvar_epi16(alternating(), halves);
  }
  static void round_to_bf16(V& e, V& o) {
    const Words w = narrow(e, o);
    e = even(w), o = odd(w);
  }

 private:
  static __m512i alternating() {  // 0, 16, 1, 17 ...
    return _mm512_add_epi32(
        _mm512_set1_epi32(0x100000),
        _mm512_mullo_epi32(_mm512_set1_epi32(0x10001), _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)));
  }
};
#endif

/// 1 + f terms[0] + f^2 terms[1] ...
template <class Level, int N> typename Simd<Level>::V polynomial(typename Simd<Level>::V f, const float (&terms)[N]) {
  using S = Simd<Level>;
  auto p = S::set(terms[N - 1]);
  for (int i = N - 2; i >= 0; --i) p = S::fma(p, f, S::set(terms[i]));
  return S::fma(p, f, S::set(1));
}

/// 2^x, relative error 2e-7; 0 below -126, -infinity included.
template <class Level> typename Simd<Level>::V exp2(typename Simd<Level>::V x) {
  using S = Simd<Level>;
  typename S::V n;
  const auto f = S::split(x, n);
  return S::scale(polynomial<Level>(f, S::exp2_terms), n);
}
/// The same with relative error 9e-5 where it is not denormal, for x up to 127: enough for what is then rounded to bf16.
template <class Level> typename Simd<Level>::V exp2_coarse(typename Simd<Level>::V x) {
  using S = Simd<Level>;
  typename S::V n;
  const auto f = S::split_down(x, n);
  return S::scale_within(polynomial<Level>(f, S::exp2_coarse_terms), n);
}

/// e^x, relative error 2e-7; 0 below e^-87, infinity from e^88.4 (AVX2) or e^88.7 on. NaN stays NaN.
template <class Level> typename Simd<Level>::V exp(typename Simd<Level>::V x) {
  using S = Simd<Level>;
  constexpr float log2e = 1.44269504f, ln2_high = 0.693145752f, ln2_low = 1.42860677e-6f;
  x = S::min(S::set(100), x);
  const auto n = S::round(x * S::set(log2e));
  const auto f = S::negated_fma(n, S::set(ln2_low), S::negated_fma(n, S::set(ln2_high), x)) * S::set(log2e);
  return S::scale(polynomial<Level>(f, S::exp2_terms), n);
}

/// Calls step(i, lanes) for i = 0, width, 2 width ...: lanes is Whole, or Tail for a last incomplete vector.
template <class Level, class Step> void each(int n, Step step) {
  using S = Simd<Level>;
  int i = 0;
  for (; i + S::width <= n; i += S::width) step(i, typename S::Whole{});
  if (i < n) step(i, S::tail(n - i));
}

}  // namespace atom::cpu
