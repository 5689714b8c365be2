// quantize<PerToken<int8>> of one row, AVX2.
#include <immintrin.h>

#include "linear_kernels.hpp"

namespace atom::cpu {
namespace {

struct Float {
  static __m256 load(const void* x, int i) { return _mm256_loadu_ps(static_cast<const float*>(x) + i); }
  static float one(const void* x, int i) { return static_cast<const float*>(x)[i]; }
};
struct Bf16 {
  static __m256 load(const void* x, int i) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(static_cast<const std::uint16_t*>(x) + i));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16));
  }
  static float one(const void* x, int i) {
    const std::uint32_t bits = std::uint32_t{static_cast<const std::uint16_t*>(x)[i]} << 16;
    float f;
    __builtin_memcpy(&f, &bits, 4);
    return f;
  }
};

template <class X> float quantize(const void* x, int n, std::int8_t* q) {
  const int whole = n / 8 * 8;
  __m256 most = _mm256_setzero_ps();
  for (int i = 0; i < whole; i += 8)  // a NaN operand yields the second one: NaNs do not count
    most = _mm256_max_ps(_mm256_andnot_ps(_mm256_set1_ps(-0.0f), X::load(x, i)), most);
  alignas(32) float lanes[8];
  _mm256_store_ps(lanes, most);
  float top = 0;
  for (float lane : lanes) top = lane > top ? lane : top;
  for (int i = whole; i < n; ++i) top = __builtin_fabsf(X::one(x, i)) > top ? __builtin_fabsf(X::one(x, i)) : top;
  const float scale = top / 127.0f;
  const __m256 by = _mm256_set1_ps(scale);
  const __m256i high = _mm256_set1_epi32(127), low = _mm256_set1_epi32(-127);
  const auto codes = [&](__m256 v) {
    if (!(scale > 0)) return _mm_setzero_si128();
    __m256i c = _mm256_cvtps_epi32(_mm256_div_ps(v, by));  // nearest even; NaN becomes the lowest integer
    c = _mm256_max_epi32(_mm256_min_epi32(c, high), low);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(c), _mm256_extracti128_si256(c, 1));
    return _mm_packs_epi16(words, words);
  };
  for (int i = 0; i < whole; i += 8) _mm_storel_epi64(reinterpret_cast<__m128i*>(q + i), codes(X::load(x, i)));
  if (whole < n) {
    for (int i = whole; i < n; ++i) lanes[i - whole] = X::one(x, i);
    alignas(16) std::int8_t tail[16];
    _mm_store_si128(reinterpret_cast<__m128i*>(tail), codes(_mm256_load_ps(lanes)));
    __builtin_memcpy(q + whole, tail, static_cast<std::size_t>(n - whole));
  }
  return scale;
}

}  // namespace

float avx2::quantize_f32(const void* x, int n, std::int8_t* q) { return quantize<Float>(x, n, q); }
float avx2::quantize_bf16(const void* x, int n, std::int8_t* q) { return quantize<Bf16>(x, n, q); }

}  // namespace atom::cpu
