#pragma once
// The loop nest of linear without AMX: panel, block of `in`, group of rows, registers.
// One idea: in units of dwords every type does the same thing, acc[row][lane] = step(acc, broadcast a[row][d], b[d][lane]);
// an Op says what step is (FMA, bf16 pairs, int8 quads), an Expand turns weights into dwords an Op understands.
// Instantiate with types of an anonymous namespace only (see linear_kernels.hpp).
#include "linear_kernels.hpp"

namespace atom::cpu {

struct AsStored {
  static constexpr int factor = 1;
  static const char* run(const char* w, int, char*) { return w; }
};

// R rows times one panel's blocks. Few rows leave too few independent sums to hide step's latency: U partial sums each.
template <class Op, int R> struct Micro {
  using Vec = typename Op::Vec;
  static constexpr int vec_bytes = static_cast<int>(sizeof(Vec)), vecs = 64 / vec_bytes * Op::tiles;
  static constexpr int U = R * vecs >= 8 ? 1 : R * vecs >= 4 ? 2 : 4;

  static void run(const char* a, std::ptrdiff_t a_stride, const char* b, int blocks, int ahead, bool first, char* acc) {
    for (int t = 0; t < 2; t += Op::tiles) half(a, a_stride, b + t * tile_bytes, blocks, ahead, first, acc + t * 64);
  }

  static void half(const char* a, std::ptrdiff_t a_stride, const char* b, int blocks, int ahead, bool first, char* acc) {
    Vec c[U][R][vecs];
#pragma GCC unroll 4
    for (int u = 0; u < U; ++u)
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; ++v) c[u][r][v] = u > 0 || first ? Op::zero() : Op::load(acc + r * acc_row_bytes + v * vec_bytes);
    for (int i = 0; i < blocks; ++i, a += block_bytes, b += 2 * tile_bytes) {
      for (int d = 0; d < 16; d += 4) {
        const char *ad = a + d * 4, *bd = b + d * 64;
#pragma GCC unroll 4
        for (int e = 0; e < 4; ++e) {
          Vec w[vecs];
#pragma GCC unroll 4
          for (int v = 0; v < vecs; ++v) {
            const int at = e * 64 + v * vec_bytes % 64 + v * vec_bytes / 64 * tile_bytes;
            if (v * vec_bytes % 64 == 0) __builtin_prefetch(bd + at + ahead);
            w[v] = Op::load(bd + at);
          }
#pragma GCC unroll 16
          for (int r = 0; r < R; ++r) {
            const Vec x = Op::broadcast(ad + r * a_stride + e * 4);
#pragma GCC unroll 4
            for (int v = 0; v < vecs; ++v) c[e % U][r][v] = Op::step(c[e % U][r][v], x, w[v]);
          }
        }
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < vecs; ++v) {
        Vec sum = c[0][r][v];
#pragma GCC unroll 4
        for (int u = 1; u < U; ++u) sum = Op::add(sum, c[u][r][v]);
        Op::store(acc + r * acc_row_bytes + v * vec_bytes, sum);
      }
  }
};

template <class Op, int R = Op::rows>
void micro(int rows, const char* a, std::ptrdiff_t a_stride, const char* b, int blocks, int ahead, bool first, char* acc) {
  if (rows == R) return Micro<Op, R>::run(a, a_stride, b, blocks, ahead, first, acc);
  if constexpr (R > 1) micro<Op, R - 1>(rows, a, a_stride, b, blocks, ahead, first, acc);
}

/// Panels [first, last) of the product. Finish is the epilogue: finish(job, panel, first row, rows, sums).
template <class Op, class Expand, class Finish> void panels(const LinearJob& j, int first, int last, char* scratch) {
  constexpr int step = expanded_bytes / (2 * tile_bytes) / Expand::factor;  // blocks of `in` whose weights stay in L1
  char *const acc = scratch, *const expanded = scratch + acc_bytes;
  const char* const a = static_cast<const char*>(j.a);
  const std::ptrdiff_t a_stride = a_row_bytes(j.a_blocks);
  const int groups = (j.rows + Op::rows - 1) / Op::rows, group = (j.rows + groups - 1) / groups;
  const int depth = groups == 1 && Expand::factor == 1 ? j.w_blocks : step;
  for (int p = first; p < last; ++p) {
    const char* w = static_cast<const char*>(j.w) + p * j.panel_bytes;
    for (int k = 0; k < j.w_blocks; k += depth) {
      const int n = j.w_blocks - k < depth ? j.w_blocks - k : depth;
      const char* b = Expand::run(w + static_cast<std::ptrdiff_t>(k) * 2 * tile_bytes, n, expanded);
      const std::ptrdiff_t a_at = static_cast<std::ptrdiff_t>(k) * Expand::factor * block_bytes;
      for (int r = 0; r < j.rows; r += group)
        micro<Op>(j.rows - r < group ? j.rows - r : group, a + r * a_stride + a_at, a_stride, b, n * Expand::factor,
                  r == 0 && Expand::factor == 1 ? prefetch_ahead : 0, k == 0, acc + r * acc_row_bytes);
    }
    Finish::run(j, p, 0, j.rows, acc);
  }
}

// Packing of activations, row-major. Copy: convert(destination, source, n elements), the rest of the row is filled by Copy too.
template <class Copy> void pack_rows(const LinearJob& j, int first, int last) {
  const std::ptrdiff_t stride = a_row_bytes(j.a_blocks);
  for (int r = first; r < last; ++r)
    Copy::run(static_cast<char*>(j.a) + r * stride, static_cast<const char*>(j.x) + r * j.ldx * Copy::size, j.in,
              j.a_blocks * block_bytes);
}

}  // namespace atom::cpu
