// linear with AMX: two by two tiles of sums, bf16 or int8 alike.
// Weights are AMX operands as packed. Activations are packed into tiles too: per 32 rows and block, two tiles [16 rows][64 bytes];
// up to 16 rows, one.
#include "linear_panel.hpp"
#include "vec512.hpp"

namespace atom::cpu {
namespace {

constexpr int group_rows = 32;

constexpr int rows_of_group(const LinearJob& j) { return j.rows <= few_rows ? few_rows : group_rows; }

// Tiles 5, 6 and 7 are whole; the others have as many rows as a group may hold.
void configure_tiles(int rows) {
  struct alignas(64) Config {
    std::uint8_t palette = 1, start = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  for (int i = 0; i < 5; ++i) config.rows[i] = static_cast<std::uint8_t>(rows < 16 ? rows : 16);
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

/// Activations pass by once: loading them as a stream keeps the weights in L1, which is worth a fifth of the speed.
/// Up to 32 rows (Two) or 16 rows, 32 columns, `blocks` of `in`.
template <class T, bool Two>
void multiply(const char* a, const char* b, int blocks, bool first, char* acc, int lines, Fetch& fetch) {
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
  for (int i = 0; i < blocks; ++i, a += block_pair_bytes, b += block_pair_bytes) {
    _tile_stream_loadd(4, a, 64);
    _tile_loadd(6, b, 64);
    T::c00();
    _tile_loadd(7, b + tile_bytes, 64);
    T::c01();
    if constexpr (Two) {
      _tile_stream_loadd(5, a + tile_bytes, 64);
      T::c10();
      T::c11();
    }
    fetch.lines_to_l2(lines);
  }
  _tile_stored(0, acc, acc_row_bytes);
  _tile_stored(1, acc + 64, acc_row_bytes);
  if constexpr (Two) {
    _tile_stored(2, low, acc_row_bytes);
    _tile_stored(3, low + 64, acc_row_bytes);
  }
}

template <class T, class Finish> struct TileBlock {
  static int depth(const LinearJob&) { return 16; }  // 32 KiB of weights stay in L1

  static void run(const LinearJob& j, const Slice& s, Fetch& fetch) {
    const int groups = (j.rows + group_rows - 1) / group_rows, lines = (block_pair_bytes / 64 + groups - 1) / groups;
    for (int row = 0; row < j.rows; row += group_rows) {
      const int rows = j.rows - row < group_rows ? j.rows - row : group_rows;
      const char* a =
          static_cast<const char*>(j.a) +
          (static_cast<std::ptrdiff_t>(row / group_rows) * j.a_blocks + s.first_block - j.first_block) * block_pair_bytes;
      char* const acc = s.acc + row * acc_row_bytes;
      if (rows > 16)
        multiply<T, true>(a, s.w, s.blocks, s.first_block == 0, acc, lines, fetch);
      else
        multiply<T, false>(a, s.w, s.blocks, s.first_block == 0, acc, lines, fetch);
      if (s.last) Finish::run(j, s.panel, row, rows, acc);
    }
  }
};

// Few rows. Memory is the limit, so nothing but weights should pass by: the sums of two panels stay in tiles 0..3 for all of `in`,
// activations are in tile 4, weights in 5..7, and both halves of `in` advance together, which makes four streams.
struct FewBf16Tiles {
  static void c0() { _tile_dpbf16ps(0, 4, 5); }
  static void c1() { _tile_dpbf16ps(1, 4, 6); }
  static void c2() { _tile_dpbf16ps(2, 4, 7); }
  static void c3() { _tile_dpbf16ps(3, 4, 5); }
};
struct FewInt8Tiles {
  static void c0() { _tile_dpbssd(0, 4, 5); }
  static void c1() { _tile_dpbssd(1, 4, 6); }
  static void c2() { _tile_dpbssd(2, 4, 7); }
  static void c3() { _tile_dpbssd(3, 4, 5); }
};

/// N panels from w on (1 or 2): their sums, and meanwhile the first lines of `next`.
template <class T, int N> struct FewRows {
  static constexpr int acc_panel = few_rows * acc_row_bytes;

  const char* ahead;
  std::ptrdiff_t half_bytes, panel_bytes;

  /// As many lines as one tile has, of all streams in turn, into L1.
  void fetch() {
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2 * N, ahead += 64)
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) {
        __builtin_prefetch(ahead + n * panel_bytes, 0, 3);
        __builtin_prefetch(ahead + n * panel_bytes + half_bytes, 0, 3);
      }
  }
  template <bool Fetches> void block(const char* a, const char* b) {
    _tile_loadd(4, a, 64);
    _tile_loadd(5, b, 64);
    T::c0();
    if (Fetches) fetch();
    _tile_loadd(6, b + tile_bytes, 64);
    T::c1();
    if (Fetches) fetch();
    if constexpr (N == 2) {
      _tile_loadd(7, b + panel_bytes, 64);
      T::c2();
      if (Fetches) fetch();
      _tile_loadd(5, b + panel_bytes + tile_bytes, 64);
      T::c3();
      if (Fetches) fetch();
    }
  }

  static void run(const LinearJob& j, const char* w, const char* next, char* acc) {
    char* const second = acc + acc_panel;
    if (j.first_block == 0) {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
    } else {
      _tile_loadd(0, acc, acc_row_bytes);
      _tile_loadd(1, acc + 64, acc_row_bytes);
      if constexpr (N == 2) {
        _tile_loadd(2, second, acc_row_bytes);
        _tile_loadd(3, second + 64, acc_row_bytes);
      }
    }
    const auto blocks = [](const char* p, int k, int bytes) { return p + static_cast<std::ptrdiff_t>(k) * bytes; };
    const char* const a = static_cast<const char*>(j.a);
    const int n = j.last_block - j.first_block, half = n / 2;
    FewRows f{w + block_pair_bytes, static_cast<std::ptrdiff_t>(half) * block_pair_bytes, j.panel_bytes};
    for (int k = 0; k < half; ++k) {
      if (k + 1 == half) f.ahead = next;
      f.block<true>(blocks(a, k, tile_bytes), blocks(w, k, block_pair_bytes));
      f.block<true>(blocks(a, half + k, tile_bytes), blocks(w, half + k, block_pair_bytes));
    }
    if (n % 2 != 0) f.block<false>(blocks(a, n - 1, tile_bytes), blocks(w, n - 1, block_pair_bytes));
    _tile_stored(0, acc, acc_row_bytes);
    _tile_stored(1, acc + 64, acc_row_bytes);
    if constexpr (N == 2) {
      _tile_stored(2, second, acc_row_bytes);
      _tile_stored(3, second + 64, acc_row_bytes);
    }
  }
};

template <class T, class Finish> void few_panels(const LinearJob& j, int first, int last, char* scratch) {
  const auto slice = [&j](int p) {
    return static_cast<const char*>(j.w) + p * j.panel_bytes + static_cast<std::ptrdiff_t>(j.first_block) * block_pair_bytes;
  };
  constexpr int acc_panel = FewRows<T, 2>::acc_panel;
  for (int p = first; p < last; p += 2) {
    const int n = last - p < 2 ? 1 : 2, next = p + n < last ? p + n : last + j.skip;
    char* const acc = j.sums ? j.sums + static_cast<std::ptrdiff_t>(p - j.first_panel) * acc_panel : scratch;
    (n == 2 ? FewRows<T, 2>::run : FewRows<T, 1>::run)(j, slice(p), slice(next < j.panels ? next : p), acc);
    if (j.last_block == j.w_blocks)
      for (int i = 0; i < n; ++i) Finish::run(j, p + i, 0, j.rows, acc + i * acc_panel);
  }
}

template <class Few, class Many, class Finish> void tile_panels(const LinearJob& j, int first, int last, char* scratch) {
  configure_tiles(j.rows);
  j.rows <= few_rows ? few_panels<Few, Finish>(j, first, last, scratch) : panels<TileBlock<Many, Finish>>(j, first, last, scratch);
}

template <int Size> void pack_tiles(const LinearJob& j, int first, int last) {
  constexpr int run = 4;  // blocks of a row read together: its lines in their order
  const std::ptrdiff_t stride = j.ldx * Size;
  const int skip = j.first_block * block_bytes, bytes = j.in * Size - skip, whole = bytes / block_bytes;
  const int group = rows_of_group(j), group_bytes = group * block_bytes;
  const auto tile_row = [&](int r, int i) {
    return static_cast<char*>(j.a) + (static_cast<std::ptrdiff_t>(r / group) * j.a_blocks + i) * group_bytes +
           r % group * block_bytes;
  };
  for (int i = 0; i < j.a_blocks; i += run) {
    for (int r = first; r < last; ++r) {
      const char* const from = static_cast<const char*>(j.x) + r * stride + skip + i * block_bytes;
      char* const to = tile_row(r, i);
      if (i + run <= whole) {
        for (int b = 0; b < run; ++b) _mm512_store_si512(to + b * group_bytes, _mm512_loadu_si512(from + b * block_bytes));
        continue;
      }
      for (int b = 0; b < run && i + b < j.a_blocks; ++b) {
        const int left = bytes - (i + b) * block_bytes;
        const __mmask64 some = left >= 64 ? ~__mmask64{0} : (__mmask64{1} << left) - 1;
        _mm512_store_si512(to + b * group_bytes, _mm512_maskz_loadu_epi8(some, from + b * block_bytes));
      }
    }
  }
}

}  // namespace

namespace amx {
constexpr LinearKernel bf16_bf16{pack_tiles<2>, tile_panels<FewBf16Tiles, Bf16Tiles, Finish512<false, false>>, 1};
constexpr LinearKernel int8_int8{pack_tiles<1>, tile_panels<FewInt8Tiles, Int8Tiles, Finish512<true, false>>, 1};
}  // namespace amx

}  // namespace atom::cpu
