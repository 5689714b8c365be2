// linear with AMX: two by two tiles of sums, bf16 or int8 alike.
// Weights are AMX operands as packed. Activations are packed into tiles too: per 32 rows and block, two tiles [16 rows][64 bytes].
#include "linear_panel.hpp"
#include "vec512.hpp"

namespace atom::cpu {
namespace {

constexpr int group_rows = 32, pair_bytes = 2 * tile_bytes;
constexpr int depth = 8;  // blocks of `in` per pass: 16 KiB of weights stay in L1 while the activations stream from L2

void configure_tiles() {
  struct alignas(64) Config {
    std::uint8_t palette = 1, start = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  asm volatile("" : : "r"(&config) : "memory");  // gcc 12 thinks that only 8 bytes are read, and drops the other stores
  _tile_loadconfig(&config);
}

// Sums in tiles 0..3, activations in 4 and 5, weights in 6 and 7. Tile numbers must be literals.
struct Bf16Tiles {
  static void c00() { _tile_dpbf16ps(0, 4, 6); }
  static void c01() { _tile_dpbf16ps(1, 4, 7); }
  static void c10() { _tile_dpbf16ps(2, 5, 6); }
  static void c11() { _tile_dpbf16ps(3, 5, 7); }
};
struct Int8Tiles {
  static void c00() { _tile_dpbssd(0, 4, 6); }
  static void c01() { _tile_dpbssd(1, 4, 7); }
  static void c10() { _tile_dpbssd(2, 5, 6); }
  static void c11() { _tile_dpbssd(3, 5, 7); }
};

/// What to fetch meanwhile: `lines` cache lines per block, into L2.
struct Prefetch {
  const char* at;
  int lines;
  void operator()() {
    for (int i = 0; i < lines; ++i, at += 64) __builtin_prefetch(at, 0, 2);
  }
};

/// Up to 32 rows (Two) or 16 rows, 32 columns, `blocks` of `in`.
template <class T, bool Two> void multiply(const char* a, const char* b, int blocks, bool first, char* acc, Prefetch& fetch) {
  char* const low = acc + 16 * acc_row_bytes;
  if (first) {
    _tile_zero(0);
    _tile_zero(1);
    if constexpr (Two) {
      _tile_zero(2);
      _tile_zero(3);
    }
  } else {
    _tile_loadd(0, acc, acc_row_bytes);
    _tile_loadd(1, acc + 64, acc_row_bytes);
    if constexpr (Two) {
      _tile_loadd(2, low, acc_row_bytes);
      _tile_loadd(3, low + 64, acc_row_bytes);
    }
  }
  for (int i = 0; i < blocks; ++i, a += pair_bytes, b += pair_bytes) {
    _tile_loadd(4, a, 64);
    _tile_loadd(6, b, 64);
    T::c00();
    _tile_loadd(7, b + tile_bytes, 64);
    T::c01();
    if constexpr (Two) {
      _tile_loadd(5, a + tile_bytes, 64);
      T::c10();
      T::c11();
    }
    fetch();
  }
  _tile_stored(0, acc, acc_row_bytes);
  _tile_stored(1, acc + 64, acc_row_bytes);
  if constexpr (Two) {
    _tile_stored(2, low, acc_row_bytes);
    _tile_stored(3, low + 64, acc_row_bytes);
  }
}

template <class T, class Finish> void amx_panels(const LinearJob& j, int first, int last, char* acc) {
  configure_tiles();
  const char* const a = static_cast<const char*>(j.a);
  const int groups = (j.rows + group_rows - 1) / group_rows;
  const int panel_lines = j.w_blocks * pair_bytes / 64;
  for (int p = first; p < last; ++p) {
    const char* w = static_cast<const char*>(j.w) + p * j.panel_bytes;
    // One group reads the weights as they arrive; more groups have time to fetch the next panel while they compute this one.
    Prefetch fetch = groups == 1 ? Prefetch{w + prefetch_ahead, pair_bytes / 64}
                                 : Prefetch{w + j.panel_bytes, (panel_lines + groups * j.w_blocks - 1) / (groups * j.w_blocks)};
    const int step = groups == 1 ? j.w_blocks : depth;
    for (int k = 0; k < j.w_blocks; k += step) {
      const int n = j.w_blocks - k < step ? j.w_blocks - k : step;
      for (int g = 0; g < groups; ++g) {
        const int row = g * group_rows, rows = j.rows - row < group_rows ? j.rows - row : group_rows;
        const char* from = a + (static_cast<std::ptrdiff_t>(g) * j.a_blocks + k) * pair_bytes;
        char* const sums = acc + row * acc_row_bytes;
        if (rows > 16)
          multiply<T, true>(from, w + static_cast<std::ptrdiff_t>(k) * pair_bytes, n, k == 0, sums, fetch);
        else
          multiply<T, false>(from, w + static_cast<std::ptrdiff_t>(k) * pair_bytes, n, k == 0, sums, fetch);
        if (k + n == j.w_blocks) Finish::run(j, p, row, rows, sums);
      }
    }
  }
}

template <int Size> void pack_tiles(const LinearJob& j, int first, int last) {
  for (int r = first; r < last; ++r) {
    const char* from = static_cast<const char*>(j.x) + r * j.ldx * Size;
    char* to = static_cast<char*>(j.a) + static_cast<std::ptrdiff_t>(r / group_rows) * j.a_blocks * pair_bytes +
               r % group_rows * block_bytes;
    for (int i = 0; i < j.a_blocks; ++i, to += pair_bytes) {
      const int left = j.in * Size - i * block_bytes;
      const __mmask64 some = left >= 64 ? ~__mmask64{0} : (__mmask64{1} << left) - 1;
      _mm512_store_si512(to, _mm512_maskz_loadu_epi8(some, from + i * block_bytes));
    }
  }
}

}  // namespace

namespace amx {
constexpr LinearKernel bf16_bf16{pack_tiles<2>, amx_panels<Bf16Tiles, Finish512<false, false>>, 1};
constexpr LinearKernel int8_int8{pack_tiles<1>, amx_panels<Int8Tiles, Finish512<true, false>>, 1};
}  // namespace amx

}  // namespace atom::cpu
