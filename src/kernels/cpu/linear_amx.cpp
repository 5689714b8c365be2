// linear with AMX: two by two tiles of sums, bf16 or int8 alike.
// Weights are AMX operands as packed. Activations are packed into tiles too: per 32 rows and block, two tiles [16 rows][64 bytes];
// up to 16 rows, one.
#include "linear_panel.hpp"
#include "vec512.hpp"

namespace atom::cpu {
namespace {

constexpr int tile_rows = 16, group_rows = 2 * tile_rows;

// Tiles of up to 16 rows; where weights lie they are whole.
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
  static void t0_4x5() { _tile_dpbf16ps(0, 4, 5); }
  static void t1_4x6() { _tile_dpbf16ps(1, 4, 6); }
  static void t2_4x7() { _tile_dpbf16ps(2, 4, 7); }
  static void t3_4x5() { _tile_dpbf16ps(3, 4, 5); }
};
struct Int8Tiles {
  static void c00() { _tile_dpbssd(0, 4, 6); }
  static void c01() { _tile_dpbssd(1, 4, 7); }
  static void c10() { _tile_dpbssd(2, 5, 6); }
  static void c11() { _tile_dpbssd(3, 5, 7); }
  static void t0_4x5() { _tile_dpbssd(0, 4, 5); }
  static void t1_4x6() { _tile_dpbssd(1, 4, 6); }
  static void t2_4x7() { _tile_dpbssd(2, 4, 7); }
  static void t3_4x5() { _tile_dpbssd(3, 4, 5); }
};

/// Sums of 16 rows, and another 16 (Two) behind them.
template <bool Two> void begin(bool first, const char* acc) {
  const char* const low = acc + tile_rows * acc_row_bytes;
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
}
template <bool Two> void end(char* acc) {
  char* const low = acc + tile_rows * acc_row_bytes;
  _tile_stored(0, acc, acc_row_bytes);
  _tile_stored(1, acc + 64, acc_row_bytes);
  if constexpr (Two) {
    _tile_stored(2, low, acc_row_bytes);
    _tile_stored(3, low + 64, acc_row_bytes);
  }
}

/// Activations pass by once: loading them as a stream keeps the weights in L1, which is worth a fifth of the speed.
/// Up to 32 rows (Two) or 16 rows, 32 columns, `blocks` of `in`; meanwhile() after each.
template <class T, bool Two, class Meanwhile>
[[gnu::always_inline]] inline void multiply(const char* a, const char* b, int blocks, bool first, char* acc, int lines,
                                            Fetch& fetch, Meanwhile meanwhile) {
  begin<Two>(first, acc);
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
    meanwhile();
  }
  end<Two>(acc);
}

/// The vector unit finishes one group's rows while tiles multiply the next, which takes 8 % (bf16) or 13 % (int8) off 512 rows of
/// wide outputs. Only inlined does Finish stay in registers.
template <class T, class Finish> struct TileBlock {
  static int depth(const LinearJob&) { return 16; }  // 32 KiB of weights stay in L1

  static void run(const LinearJob& j, const Slice& s, Fetch& fetch) {
    const int groups = (j.rows + group_rows - 1) / group_rows, lines = (block_pair_bytes / 64 + groups - 1) / groups;
    const Finish finish(j, s.panel);
    int finished = 0;
    const auto finish_until = [&](int end) {
      for (; finished < end; ++finished) finish.row(finished, s.acc + finished * acc_row_bytes);
    };
    for (int row = 0; row < j.rows; row += group_rows) {
      const char* a =
          static_cast<const char*>(j.a) +
          (static_cast<std::ptrdiff_t>(row / group_rows) * j.a_blocks + s.first_block - j.first_block) * block_pair_bytes;
      const int summed = s.last ? row : 0, each = (summed - finished + s.blocks - 1) / s.blocks;
      const auto finish_some = [&] { finish_until(finished + each < summed ? finished + each : summed); };
      char* const acc = s.acc + row * acc_row_bytes;
      if (j.rows - row > tile_rows)
        multiply<T, true>(a, s.w, s.blocks, s.first_block == 0, acc, lines, fetch, finish_some);
      else
        multiply<T, false>(a, s.w, s.blocks, s.first_block == 0, acc, lines, fetch, finish_some);
    }
    if (s.last) finish_until(j.rows);
  }
};

// Up to 32 rows: memory is the limit, so nothing but weights should pass by. Sums stay in tiles for all of `in`, and parts of `in`
// advance together, which makes four streams.

/// The next lines of Parts parts of N panels, into L1.
template <int Parts, int N> struct Ahead {
  const char* at;
  std::ptrdiff_t part_bytes, panel_bytes;

  void lines(int n) {
    for (; n > 0; n -= Parts * N, at += 64)
#pragma GCC unroll 2
      for (int panel = 0; panel < N; ++panel)
#pragma GCC unroll 4
        for (int part = 0; part < Parts; ++part) fetch_line(at + panel * panel_bytes + part * part_bytes);
  }
};

/// Up to 16 rows, N panels (1 or 2): activations in tile 4, weights in 5..7.
template <class T, int N> struct OneRowTile {
  static constexpr int panels = N, parts = 2,
                       rows = tile_rows;  // N must not matter to a panel's sums, so parts are as many for both
  static constexpr bool two = N == 2;
  template <class Fetch> static void block(const char* a, const char* b, std::ptrdiff_t panel_bytes, Fetch fetch) {
    _tile_loadd(4, a, 64);
    _tile_loadd(5, b, 64);
    T::t0_4x5();
    fetch(16);
    _tile_loadd(6, b + tile_bytes, 64);
    T::t1_4x6();
    fetch(16);
    if constexpr (N == 2) {
      _tile_loadd(7, b + panel_bytes, 64);
      T::t2_4x7();
      fetch(16);
      _tile_loadd(5, b + panel_bytes + tile_bytes, 64);
      T::t3_4x5();
      fetch(16);
    }
  }
};

/// Up to 32 rows, a panel.
template <class T> struct TwoRowTiles {
  static constexpr int panels = 1, parts = 4, rows = 2 * tile_rows;
  static constexpr bool two = true;
  template <class Fetch> static void block(const char* a, const char* b, std::ptrdiff_t, Fetch fetch) {
    _tile_loadd(4, a, 64);
    _tile_loadd(6, b, 64);
    T::c00();
    fetch(8);
    _tile_loadd(7, b + tile_bytes, 64);
    T::c01();
    fetch(8);
    _tile_loadd(5, a + tile_bytes, 64);
    T::c10();
    fetch(8);
    T::c11();
    fetch(8);
  }
};

/// Sums of the panels from w on, and meanwhile the first lines of those at `next`.
template <class Tiles> void sum_panels(const LinearJob& j, const char* w, const char* next, char* acc) {
  const char* const a = static_cast<const char*>(j.a);
  const int n = j.last_block - j.first_block, part = n / Tiles::parts;
  const auto block = [&](int k, auto fetch) {
    Tiles::block(a + static_cast<std::ptrdiff_t>(k) * Tiles::rows * block_bytes,
                 w + static_cast<std::ptrdiff_t>(k) * block_pair_bytes, j.panel_bytes, fetch);
  };
  Ahead<Tiles::parts, Tiles::panels> ahead{w + block_pair_bytes, static_cast<std::ptrdiff_t>(part) * block_pair_bytes,
                                           j.panel_bytes};
  begin<Tiles::two>(j.first_block == 0, acc);
  for (int k = 0; k < part; ++k) {
    if (k + 1 == part) ahead.at = next;
    for (int p = 0; p < Tiles::parts; ++p) block(p * part + k, [&](int lines) { ahead.lines(lines); });
  }
  for (int k = Tiles::parts * part; k < n; ++k) block(k, [](int) {});
  end<Tiles::two>(acc);
}

/// Most: panels at a time; One: the last, where they are odd.
template <class Most, class One, class Finish> void few_panels(const LinearJob& j, int first, int last, char* scratch) {
  constexpr int acc_panel = Most::rows * acc_row_bytes;
  const std::ptrdiff_t slice = static_cast<std::ptrdiff_t>(j.first_block) * block_pair_bytes;
  const char* const w = static_cast<const char*>(j.w) + slice;
  for (int p = first; p < last; p += Most::panels) {
    const int n = last - p < Most::panels ? 1 : Most::panels;
    const char* const here = w + p * j.panel_bytes;
    const char* const next = p + n < last ? here + n * j.panel_bytes : j.then_panels > 0 ? j.then + slice : here;
    char* const acc = j.sums ? j.sums + static_cast<std::ptrdiff_t>(p - j.first_panel) * acc_panel : scratch;
    (n == Most::panels ? sum_panels<Most> : sum_panels<One>)(j, here, next, acc);
    if (j.last_block == j.w_blocks)
      for (int i = 0; i < n; ++i) Finish::run(j, p + i, 0, j.rows, acc + i * acc_panel);
  }
}

template <class T, class Finish> void tile_panels(const LinearJob& j, int first, int last, char* scratch) {
  configure_tiles(j.rows);
  if (j.rows <= OneRowTile<T, 2>::rows)
    few_panels<OneRowTile<T, 2>, OneRowTile<T, 1>, Finish>(j, first, last, scratch);
  else if (j.rows <= TwoRowTiles<T>::rows)
    few_panels<TwoRowTiles<T>, TwoRowTiles<T>, Finish>(j, first, last, scratch);
  else
    panels<TileBlock<T, Finish>>(j, first, last, scratch);
}

template <int Size> void pack_tiles(const LinearJob& j, int first, int last) {
  constexpr int run = 4;  // blocks of a row read together: its lines in their order
  const std::ptrdiff_t stride = j.ldx * Size;
  const int skip = j.first_block * block_bytes, bytes = j.in * Size - skip, whole = bytes / block_bytes;
  const int group = j.rows <= tile_rows ? tile_rows : group_rows, group_bytes = group * block_bytes;
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
constexpr LinearKernel bf16_bf16{pack_tiles<2>, tile_panels<Bf16Tiles, Finish512<false, false>>, 1};
constexpr LinearKernel int8_int8{pack_tiles<1>, tile_panels<Int8Tiles, Finish512<true, false>>, 1};
}  // namespace amx

}  // namespace atom::cpu
