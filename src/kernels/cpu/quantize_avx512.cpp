// quantize<PerToken<int8>> of one row, AVX-512.
#include "vec512.hpp"

namespace atom::cpu {
namespace {

struct Float {
  static __m512 load(const void* x, int i, __mmask16 lanes) {
    return _mm512_maskz_loadu_ps(lanes, static_cast<const float*>(x) + i);
  }
};
struct Bf16 {
  static __m512 load(const void* x, int i, __mmask16 lanes) {
    return Vec512::from_bf16(_mm256_maskz_loadu_epi16(lanes, static_cast<const std::uint16_t*>(x) + i));
  }
};

template <class X> float quantize(const void* x, int n, std::int8_t* q) {
  __m512 top = _mm512_setzero_ps();
  for (int i = 0; i < n; i += 16)  // a NaN operand yields the second one: NaNs do not count
    top = _mm512_max_ps(_mm512_abs_ps(X::load(x, i, Vec512::first_lanes(n - i))), top);
  const float scale = _mm512_reduce_max_ps(top) / 127.0f;
  const __m512 by = _mm512_set1_ps(scale);
  const __m512i limit = _mm512_set1_epi32(127);
  for (int i = 0; i < n; i += 16) {
    const __mmask16 lanes = Vec512::first_lanes(n - i);
    __m512i v = _mm512_cvtps_epi32(_mm512_div_ps(X::load(x, i, lanes), by));  // nearest even; NaN becomes the lowest integer
    v = _mm512_max_epi32(_mm512_min_epi32(v, limit), _mm512_sub_epi32(_mm512_setzero_si512(), limit));
    if (!(scale > 0)) v = _mm512_setzero_si512();
    _mm_mask_storeu_epi8(q + i, lanes, _mm512_cvtepi32_epi8(v));
  }
  return scale;
}

}  // namespace

float avx512::quantize_f32(const void* x, int n, std::int8_t* q) { return quantize<Float>(x, n, q); }
float avx512::quantize_bf16(const void* x, int n, std::int8_t* q) { return quantize<Bf16>(x, n, q); }

}  // namespace atom::cpu
