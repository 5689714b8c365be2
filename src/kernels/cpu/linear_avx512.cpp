// linear for AVX-512 without dot-product instructions: fp32 FMA, and int8 through 16-bit pairs.
#include "linear_panel.hpp"
#include "vec512.hpp"

namespace atom::cpu {
namespace {

struct Fma {
  using Vec = __m512;
  static constexpr int tiles = 2, rows = 12;
  static Vec zero() { return _mm512_setzero_ps(); }
  static Vec load(const char* p) { return _mm512_load_ps(p); }
  static void store(char* p, Vec v) { _mm512_store_ps(p, v); }
  static Vec broadcast(const char* p) { return _mm512_set1_ps(*reinterpret_cast<const float*>(p)); }
  static Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
  static Vec step(Vec acc, Vec x, Vec w) { return _mm512_fmadd_ps(x, w, acc); }
};

// |w| is an unsigned operand (128 fits), the sign moves to x, which is within +-127: pairs stay below 2^15.
struct Int8 {
  using Vec = __m512i;
  static constexpr int tiles = 2, rows = 8;
  static Vec zero() { return _mm512_setzero_si512(); }
  static Vec load(const char* p) { return _mm512_load_si512(p); }
  static void store(char* p, Vec v) { _mm512_store_si512(p, v); }
  static Vec broadcast(const char* p) { return _mm512_set1_epi32(*reinterpret_cast<const std::int32_t*>(p)); }
  static Vec add(Vec a, Vec b) { return _mm512_add_epi32(a, b); }
  static Vec step(Vec acc, Vec x, Vec w) {
    const Vec signed_x = _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(w), zero(), x);
    const Vec pairs = _mm512_maddubs_epi16(_mm512_abs_epi8(w), signed_x);
    return _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
  }
};

// Two 16-bit weights of a dword become neighbouring rows of a float panel.
template <class Convert> struct Expand16 {
  static constexpr int factor = 2;
  static const char* run(const char* w, int blocks, char* out, Fetch& fetch) {
    char* to = out;
    for (int i = 0; i < blocks; ++i, w += block_pair_bytes, to += 2 * block_pair_bytes)
      for (int d = 0; d < 16; ++d)
#pragma GCC unroll 2
        for (int t = 0; t < 2; ++t) {
          const char* from = w + t * tile_bytes + d * 64;
          fetch.line();
          const __m512i pair = _mm512_load_si512(from);
          char* row = to + d / 8 * block_pair_bytes + d % 8 * 128 + t * tile_bytes;
          _mm512_store_ps(row, Convert::low(pair));
          _mm512_store_ps(row + 64, Convert::high(pair));
        }
    return out;
  }
};
struct FromBf16 {
  static __m512 low(__m512i v) { return _mm512_castsi512_ps(_mm512_slli_epi32(v, 16)); }
  static __m512 high(__m512i v) { return _mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32(-65536))); }
};
struct FromFp16 {
  static __m512 low(__m512i v) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v)); }
  static __m512 high(__m512i v) { return low(_mm512_srli_epi32(v, 16)); }
};

struct CopyBf16ToFloat {
  static constexpr int size = 2, packed_size = 4;
  static void run(char* to, const char* from, int n, int bytes) {
    for (int i = 0; i < bytes / 4; i += 16) {
      const __m256i v = _mm256_maskz_loadu_epi16(Vec512::first_lanes(n - i), from + 2 * i);
      _mm512_store_ps(to + 4 * i, Vec512::from_bf16(v));
    }
  }
};

using FinishFloat = Finish512<false, false>;
using PackFloat = CopyBytes512<4, 0>;

}  // namespace

namespace avx512 {
constexpr LinearKernel f32_f32{pack_rows<PackFloat>, panels<VectorBlock<Fma, AsStored, FinishFloat>>, 1};
constexpr LinearKernel f32_bf16{pack_rows<PackFloat>, panels<VectorBlock<Fma, Expand16<FromBf16>, FinishFloat>>, 2};
constexpr LinearKernel f32_fp16{pack_rows<PackFloat>, panels<VectorBlock<Fma, Expand16<FromFp16>, FinishFloat>>, 2};
constexpr LinearKernel bf16_f32{pack_rows<CopyBf16ToFloat>, f32_f32.panels, 1};
constexpr LinearKernel bf16_bf16{pack_rows<CopyBf16ToFloat>, f32_bf16.panels, 2};
constexpr LinearKernel bf16_fp16{pack_rows<CopyBf16ToFloat>, f32_fp16.panels, 2};
constexpr LinearKernel int8_int8{pack_rows<CopyBytes512<1, 0>>, panels<VectorBlock<Int8, AsStored, Finish512<true, false>>>, 1};
}  // namespace avx512

}  // namespace atom::cpu
