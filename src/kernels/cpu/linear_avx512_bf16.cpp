// linear with AVX512_BF16 and AVX512_VNNI dot products; on AMX machines it serves decode.
#include "linear_panel.hpp"
#include "vec512.hpp"

namespace atom::cpu {
namespace {

struct Bf16Pairs {
  using Vec = __m512;
  static constexpr int tiles = 2, rows = 12;
  static Vec zero() { return _mm512_setzero_ps(); }
  static Vec load(const char* p) { return _mm512_load_ps(p); }
  static void store(char* p, Vec v) { _mm512_store_ps(p, v); }
  static Vec broadcast(const char* p) { return _mm512_set1_ps(*reinterpret_cast<const float*>(p)); }
  static Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
  static Vec step(Vec acc, Vec x, Vec w) {
    return _mm512_dpbf16_ps(acc, reinterpret_cast<__m512bh>(x), reinterpret_cast<__m512bh>(w));
  }
};

// x is stored as x + 128; the epilogue takes 128 * row sum off again.
struct Int8Quads {
  using Vec = __m512i;
  static constexpr int tiles = 2, rows = 12;
  static Vec zero() { return _mm512_setzero_si512(); }
  static Vec load(const char* p) { return _mm512_load_si512(p); }
  static void store(char* p, Vec v) { _mm512_store_si512(p, v); }
  static Vec broadcast(const char* p) { return _mm512_set1_epi32(*reinterpret_cast<const std::int32_t*>(p)); }
  static Vec add(Vec a, Vec b) { return _mm512_add_epi32(a, b); }
  static Vec step(Vec acc, Vec x, Vec w) { return _mm512_dpbusd_epi32(acc, x, w); }
};

}  // namespace

namespace avx512_bf16 {
constexpr LinearKernel bf16_bf16{pack_rows<CopyBytes512<2, 0>>, panels<VectorBlock<Bf16Pairs, AsStored, Finish512<false, false>>>,
                                 1};
constexpr LinearKernel int8_int8{pack_rows<CopyBytes512<1, 0x80>>, panels<VectorBlock<Int8Quads, AsStored, Finish512<true, true>>>,
                                 1};
}  // namespace avx512_bf16

}  // namespace atom::cpu
