// linear for AVX2 with FMA and F16C.
#include <immintrin.h>

#include "linear_panel.hpp"

namespace atom::cpu {
namespace {

struct Fma {
  using Vec = __m256;
  static constexpr int tiles = 1, rows = 6;
  static Vec zero() { return _mm256_setzero_ps(); }
  static Vec load(const char* p) { return _mm256_load_ps(reinterpret_cast<const float*>(p)); }
  static void store(char* p, Vec v) { _mm256_store_ps(reinterpret_cast<float*>(p), v); }
  static Vec broadcast(const char* p) { return _mm256_broadcast_ss(reinterpret_cast<const float*>(p)); }
  static Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
  static Vec step(Vec acc, Vec x, Vec w) { return _mm256_fmadd_ps(x, w, acc); }
};

// |w| is an unsigned operand (128 fits), the sign moves to x, which is within +-127: pairs stay below 2^15.
struct Int8 {
  using Vec = __m256i;
  static constexpr int tiles = 1, rows = 4;
  static Vec zero() { return _mm256_setzero_si256(); }
  static Vec load(const char* p) { return _mm256_load_si256(reinterpret_cast<const Vec*>(p)); }
  static void store(char* p, Vec v) { _mm256_store_si256(reinterpret_cast<Vec*>(p), v); }
  static Vec broadcast(const char* p) { return _mm256_set1_epi32(*reinterpret_cast<const std::int32_t*>(p)); }
  static Vec add(Vec a, Vec b) { return _mm256_add_epi32(a, b); }
  static Vec step(Vec acc, Vec x, Vec w) {
    const Vec pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

// Two 16-bit weights of a dword become neighbouring rows of a float panel.
template <class Convert> struct Expand16 {
  static constexpr int factor = 2;
  static const char* run(const char* w, int blocks, char* out, Fetch& fetch) {
    char* to = out;
    for (int i = 0; i < blocks; ++i, w += block_pair_bytes, to += 2 * block_pair_bytes)
      for (int d = 0; d < 16; ++d)
        for (int t = 0; t < 2; ++t) {
          const char* from = w + t * tile_bytes + d * 64;
          fetch.line();
          char* row = to + d / 8 * block_pair_bytes + d % 8 * 128 + t * tile_bytes;
          for (int v = 0; v < 64; v += 32) {
            const __m256i pair = _mm256_load_si256(reinterpret_cast<const __m256i*>(from + v));
            Fma::store(row + v, Convert::low(pair));
            Fma::store(row + 64 + v, Convert::high(pair));
          }
        }
    return out;
  }
};
struct FromBf16 {
  static __m256 low(__m256i v) { return _mm256_castsi256_ps(_mm256_slli_epi32(v, 16)); }
  static __m256 high(__m256i v) { return _mm256_castsi256_ps(_mm256_and_si256(v, _mm256_set1_epi32(-65536))); }
};
struct FromFp16 {
  static __m256 halves(__m256i v) {  // 16-bit values in 32-bit lanes
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(v, v), 0x08);
    return _mm256_cvtph_ps(_mm256_castsi256_si128(packed));
  }
  static __m256 low(__m256i v) { return halves(_mm256_and_si256(v, _mm256_set1_epi32(0xffff))); }
  static __m256 high(__m256i v) { return halves(_mm256_srli_epi32(v, 16)); }
};

/// To bfloat16 as atom::bf16 does: nearest even, NaN to 0x7fc0. 32-bit lanes.
__m256i to_bf16(__m256 x) {
  const __m256i u = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd), 16);
  return _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc0), _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q)));
}

// Sums become outputs, a row of 32 at a time; what lies beyond `out` is computed and not written.
template <bool Int> struct Finish {
  static void run(const LinearJob& j, int panel, int first_row, int rows, const char* acc) {
    const int col = panel * panel_rows, cols = j.out - col < panel_rows ? j.out - col : panel_rows;
    alignas(32) float bias[panel_rows] = {}, scale[panel_rows] = {};
    for (int c = 0; c < cols; ++c) {
      if (j.bias) bias[c] = j.bias[col + c];
      if (Int) scale[c] = j.w_scale[col + c];
    }
    for (int r = 0; r < rows; ++r) {
      alignas(32) float f[panel_rows];
      alignas(32) std::uint16_t h[panel_rows];
      for (int c = 0; c < panel_rows; c += 8) {
        const char* from = acc + r * acc_row_bytes + 4 * c;
        __m256 v;
        if constexpr (Int) {
          v = _mm256_cvtepi32_ps(Int8::load(from));
          v = _mm256_fmadd_ps(_mm256_mul_ps(v, _mm256_set1_ps(j.x_scale[first_row + r])), _mm256_load_ps(scale + c),
                              _mm256_load_ps(bias + c));
        } else {
          v = _mm256_add_ps(Fma::load(from), _mm256_load_ps(bias + c));
        }
        if (j.bf16_y) {
          const __m256i b = to_bf16(v), packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(b, b), 0x08);
          _mm_store_si128(reinterpret_cast<__m128i*>(h + c), _mm256_castsi256_si128(packed));
        } else {
          _mm256_store_ps(f + c, v);
        }
      }
      const std::ptrdiff_t at = (first_row + r) * j.ldy + col;
      if (j.bf16_y)
        __builtin_memcpy(static_cast<std::uint16_t*>(j.y) + at, h, sizeof(std::uint16_t) * static_cast<std::size_t>(cols));
      else
        __builtin_memcpy(static_cast<float*>(j.y) + at, f, sizeof(float) * static_cast<std::size_t>(cols));
    }
  }
};

template <int Size> struct CopyBytes {
  static constexpr int size = Size, packed_size = Size;
  static void run(char* to, const char* from, int n, int bytes) {
    __builtin_memcpy(to, from, static_cast<std::size_t>(n * Size));
    __builtin_memset(to + n * Size, 0, static_cast<std::size_t>(bytes - n * Size));
  }
};

struct CopyBf16ToFloat {
  static constexpr int size = 2, packed_size = 4;
  static void run(char* to, const char* from, int n, int bytes) {
    int i = 0;
    for (; i + 8 <= n; i += 8) {
      const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 2 * i));
      Fma::store(to + 4 * i, FromBf16::low(_mm256_cvtepu16_epi32(v)));
    }
    for (; i < bytes / 4; ++i) {
      std::uint32_t bits = 0;
      if (i < n) __builtin_memcpy(reinterpret_cast<char*>(&bits) + 2, from + 2 * i, 2);
      __builtin_memcpy(to + 4 * i, &bits, 4);
    }
  }
};

}  // namespace

namespace avx2 {
constexpr LinearKernel f32_f32{pack_rows<CopyBytes<4>>, panels<VectorBlock<Fma, AsStored, Finish<false>>>, 1};
constexpr LinearKernel f32_bf16{pack_rows<CopyBytes<4>>, panels<VectorBlock<Fma, Expand16<FromBf16>, Finish<false>>>, 2};
constexpr LinearKernel f32_fp16{pack_rows<CopyBytes<4>>, panels<VectorBlock<Fma, Expand16<FromFp16>, Finish<false>>>, 2};
constexpr LinearKernel bf16_f32{pack_rows<CopyBf16ToFloat>, f32_f32.panels, 1};
constexpr LinearKernel bf16_bf16{pack_rows<CopyBf16ToFloat>, f32_bf16.panels, 2};
constexpr LinearKernel bf16_fp16{pack_rows<CopyBf16ToFloat>, f32_fp16.panels, 2};
constexpr LinearKernel int8_int8{pack_rows<CopyBytes<1>>, panels<VectorBlock<Int8, AsStored, Finish<true>>>, 1};
}  // namespace avx2

}  // namespace atom::cpu
