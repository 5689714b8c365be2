#pragma once
// 512-bit pieces that the avx512, avx512_bf16 and amx units of linear share; internal linkage, one copy per unit.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"  // gcc 12's own _mm512_undefined_ps()
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#include "linear_kernels.hpp"

namespace atom::cpu {
namespace {

struct Vec512 {
  static __mmask16 first_lanes(int n) {
    return n >= 16 ? __mmask16{0xffff} : n <= 0 ? __mmask16{0} : static_cast<__mmask16>((1u << n) - 1);
  }

  /// To bfloat16 as atom::bf16 does: nearest even, NaN to 0x7fc0.
  static __m256i to_bf16(__m512 x) {
    const __m512i u = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd), 16);
    return _mm512_cvtepi32_epi16(_mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), _mm512_set1_epi32(0x7fc0)));
  }
  /// Both, a's lanes first.
  static __m512i to_bf16(__m512 a, __m512 b) {
#if defined(__AVX512BF16__)  // other NaNs than atom::bf16's, and no denormals
    return __builtin_bit_cast(__m512i, _mm512_cvtne2ps_pbh(b, a));
#else
    return _mm512_inserti64x4(_mm512_castsi256_si512(to_bf16(a)), to_bf16(b), 1);
#endif
  }
  static __m512 from_bf16(__m256i x) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16)); }
};

// Sums become outputs: y = sum (+ bias), or sum * x_scale * w_scale (+ bias) for integers. One panel's; row by row, so that who has
// a unit busy elsewhere can do them meanwhile.
template <bool Int, bool UnsignedX> class Finish512 {
 public:
  Finish512(const LinearJob& job, int panel) : j(job), col(panel * panel_rows), whole(job.stream_y && job.out - col >= panel_rows) {
    for (int h = 0; h < 2; ++h) {
      lanes[h] = Vec512::first_lanes(j.out - col - 16 * h);
      bias[h] = j.bias ? _mm512_maskz_loadu_ps(lanes[h], j.bias + col + 16 * h) : _mm512_setzero_ps();
      scale[h] = Int ? _mm512_maskz_loadu_ps(lanes[h], j.w_scale + col + 16 * h) : _mm512_setzero_ps();
      const char* const panel_end = static_cast<const char*>(j.w) + (panel + 1) * j.panel_bytes;
      excess[h] = UnsignedX ? _mm512_slli_epi32(_mm512_load_si512(panel_end - row_sum_bytes + 64 * h), 7) : _mm512_setzero_si512();
    }
  }
  /// acc: the row's 32 sums.
  [[gnu::always_inline]] void row(int r, const char* acc) const {
    __m512 v[2];
    for (int h = 0; h < 2; ++h) {
      if constexpr (Int) {
        const __m512 sum = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_load_si512(acc + 64 * h), excess[h]));
        v[h] = _mm512_fmadd_ps(_mm512_mul_ps(sum, _mm512_set1_ps(j.x_scale[r])), scale[h], bias[h]);
      } else {
        v[h] = _mm512_add_ps(_mm512_load_ps(acc + 64 * h), bias[h]);
      }
    }
    const std::ptrdiff_t at = r * j.ldy + col;
    if (j.bf16_y) {  // one store per cache line
      const __m512i both = Vec512::to_bf16(v[0], v[1]);
      std::uint16_t* const y = static_cast<std::uint16_t*>(j.y) + at;
      if (whole)
        _mm512_stream_si512(reinterpret_cast<__m512i*>(y), both);
      else
        _mm512_mask_storeu_epi16(y, static_cast<__mmask32>(lanes[0] | std::uint32_t{lanes[1]} << 16), both);
    } else {
      float* const y = static_cast<float*>(j.y) + at;
      for (int h = 0; h < 2; ++h)
        if (whole)
          _mm512_stream_ps(y + 16 * h, v[h]);
        else
          _mm512_mask_storeu_ps(y + 16 * h, lanes[h], v[h]);
    }
  }
  static void run(const LinearJob& j, int panel, int first_row, int rows, const char* acc) {
    const Finish512 finish(j, panel);
    for (int r = 0; r < rows; ++r) finish.row(first_row + r, acc + r * acc_row_bytes);
  }

 private:
  const LinearJob& j;
  int col;
  bool whole;
  __mmask16 lanes[2];
  __m512 bias[2], scale[2];
  __m512i excess[2];
};

// Copies n elements, XORs them, and fills the rest of `bytes` with zeros (XORed too): weights are zero there.
template <int Size, int Xor> struct CopyBytes512 {
  static constexpr int size = Size, packed_size = Size;
  static void run(char* to, const char* from, int n, int bytes) {
    const __m512i flip = _mm512_set1_epi8(static_cast<char>(Xor));
    const int have = n * Size;
    for (int i = 0; i < bytes; i += 64) {
      const int left = have - i;
      const __mmask64 some = left >= 64 ? ~__mmask64{0} : left <= 0 ? __mmask64{0} : (__mmask64{1} << left) - 1;
      _mm512_store_si512(to + i, _mm512_xor_si512(_mm512_maskz_loadu_epi8(some, from + i), flip));
    }
  }
};

}  // namespace
}  // namespace atom::cpu
