#pragma once
// The loop nests of linear. Outer (all levels): groups of panels, slices of `in`, panels. Inner (all but AMX): rows, registers.
// One idea of the outer nest: one sequential stream per thread cannot fill the path to memory (a core waits for latency, not
// for bandwidth). So several panels advance together, slice by slice, and meanwhile the next slice of all of them is fetched,
// a line of each in turn: into L1 where the next slice is soon (a line in L2 waits a second time for one of the core's few fill
// buffers, which costs a sixth of the bandwidth), into L2 where much is computed before.
// One idea of the inner nest: in units of dwords every type does the same, acc[row][lane] = step(acc, broadcast a[row][d],
// b[d][lane]); an Op says what step is (FMA, bf16 pairs, int8 quads), an Expand turns weights into dwords an Op understands.
// Internal linkage throughout: one copy per unit (see linear_kernels.hpp).
#include "linear_kernels.hpp"

namespace atom::cpu {
namespace {

constexpr int streams = 4;  // panels that advance together

/// A line into L1. The hardware's own prefetching, which brings most of a stream into L2 in time, begins anew at every 4096 bytes:
/// lines that are about to be such a beginning are asked for a little earlier. 4 to 8 % of 16 rows' time.
inline void fetch_line(const char* p) {
  constexpr std::uintptr_t early = 3072, beginning = 12 * 64;
  __builtin_prefetch(p, 0, 3);
  if ((reinterpret_cast<std::uintptr_t>(p) + early) % 4096 < beginning) __builtin_prefetch(p + early, 0, 2);
}

/// Lines to fetch, round-robin over the panels of a group.
struct Fetch {
  const char *at, *end;
  std::ptrdiff_t stride, back;  // from panel to panel; from the last panel to the first one's next line

  static Fetch slice(const char* w, int panels, std::ptrdiff_t stride) {
    return {w, w + panels * stride, stride, 64 - panels * stride};
  }
  static Fetch nothing(const char* cached) { return {cached, nullptr, 0, 0}; }

  template <int Locality = 3> void line() {  // 3: into L1, 2: into L2
    if constexpr (Locality == 3)
      fetch_line(at);
    else
      __builtin_prefetch(at, 0, Locality);
    at += stride;
    if (at == end) {
      at += back;
      end += 64;
    }
  }
  void lines_to_l2(int n) {
    for (int i = 0; i < n; ++i) line<2>();
  }
};

/// One panel's share of a slice.
struct Slice {
  int panel, first_block, blocks;
  bool last;       // the sums are complete: finish
  const char* w;   // (blocks) pairs of tiles
  char* acc;       // (rows, 32) sums, dwords
  char* expanded;  // scratch, expanded_bytes
};

/// Panels [first, last) of the product, `depth` blocks at a time; Block::run(job, slice, fetch) does one panel's slice.
template <class Block> void panels(const LinearJob& j, int first, int last, char* scratch) {
  const int acc_rows = (j.rows + 31) / 32 * 32;  // whole tiles
  // Many rows compute longer than they read, and their sums should stay in L2: fewer panels together.
  const int most = acc_rows * streams <= max_pass_rows ? streams : max_pass_rows / acc_rows;
  const int depth = Block::depth(j);
  for (int p = first; p < last; p += most) {
    const int group = last - p < most ? last - p : most;
    const char* const w = static_cast<const char*>(j.w) + p * j.panel_bytes;
    const bool more = p + group < last;
    const char* const next = more ? w + group * j.panel_bytes : j.then;
    const int left = more ? last - p - group : j.then_panels, next_group = left < most ? left : most;
    char* const sums = j.sums ? j.sums + static_cast<std::ptrdiff_t>(p - j.first_panel) * acc_rows * acc_row_bytes : scratch;
    const auto block = [](int k) { return static_cast<std::ptrdiff_t>(k) * block_pair_bytes; };
    for (int k = j.first_block; k < j.last_block; k += depth) {
      const int n = j.last_block - k < depth ? j.last_block - k : depth;
      Fetch fetch = k + n < j.last_block ? Fetch::slice(w + block(k + n), group, j.panel_bytes)
                    : next_group > 0     ? Fetch::slice(next + block(j.first_block), next_group, j.panel_bytes)
                                         : Fetch::nothing(w);
      for (int i = 0; i < group; ++i)
        Block::run(j,
                   {p + i, k, n, k + n == j.w_blocks, w + i * j.panel_bytes + block(k), sums + i * acc_rows * acc_row_bytes,
                    scratch + acc_bytes},
                   fetch);
    }
  }
  if (j.stream_y) asm volatile("sfence" : : : "memory");  // streamed stores are not ordered by what the pool does next
}

struct AsStored {
  static constexpr int factor = 1;
  static const char* run(const char* w, int, char*, Fetch&) { return w; }
};

// R rows times one panel's blocks. Few rows leave too few independent sums to hide step's latency: U partial sums each.
template <class Op, int R> struct Micro {
  using Vec = typename Op::Vec;
  static constexpr int vec_bytes = static_cast<int>(sizeof(Vec)), vecs = 64 / vec_bytes * Op::tiles;
  static constexpr int U = R * vecs >= 8 ? 1 : R * vecs >= 4 ? 2 : 4;

  static void run(const char* a, std::ptrdiff_t a_stride, const char* b, int blocks, bool first, char* acc, Fetch& fetch) {
    for (int t = 0; t < 2; t += Op::tiles) half(a, a_stride, b + t * tile_bytes, blocks, first, acc + t * 64, fetch);
  }

  static void half(const char* a, std::ptrdiff_t a_stride, const char* b, int blocks, bool first, char* acc, Fetch& shared_fetch) {
    Fetch fetch = shared_fetch;
    Vec c[U][R][vecs];
#pragma GCC unroll 4
    for (int u = 0; u < U; ++u)
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; ++v) c[u][r][v] = u > 0 || first ? Op::zero() : Op::load(acc + r * acc_row_bytes + v * vec_bytes);
    for (int i = 0; i < blocks; ++i, a += block_bytes, b += block_pair_bytes) {
      for (int d = 0; d < 16; d += 4) {
        const char *ad = a + d * 4, *bd = b + d * 64;
#pragma GCC unroll 4
        for (int e = 0; e < 4; ++e) {
          Vec w[vecs];
#pragma GCC unroll 4
          for (int v = 0; v < vecs; ++v) {
            if (v * vec_bytes % 64 == 0) fetch.line();
            w[v] = Op::load(bd + e * 64 + v * vec_bytes % 64 + v * vec_bytes / 64 * tile_bytes);
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
    shared_fetch = fetch;
  }
};

template <class Op, int R = Op::rows>
void micro(int rows, const char* a, std::ptrdiff_t a_stride, const char* b, int blocks, bool first, char* acc, Fetch& fetch) {
  if (rows == R) return Micro<Op, R>::run(a, a_stride, b, blocks, first, acc, fetch);
  if constexpr (R > 1) micro<Op, R - 1>(rows, a, a_stride, b, blocks, first, acc, fetch);
}

/// The inner nest. Finish is the epilogue: run(job, panel, first row, rows, sums).
template <class Op, class Expand, class Finish> struct VectorBlock {
  static int depth(const LinearJob& j) {  // few rows: short slices, the first one comes unfetched; else what L1 holds
    return j.rows <= Op::rows ? 2 : expanded_bytes / block_pair_bytes / Expand::factor;
  }
  static void run(const LinearJob& j, const Slice& s, Fetch& fetch) {
    const char* const b = Expand::run(s.w, s.blocks, s.expanded, fetch);
    const std::ptrdiff_t a_stride = a_row_bytes(j.a_blocks);
    const char* const a =
        static_cast<const char*>(j.a) + static_cast<std::ptrdiff_t>(s.first_block - j.first_block) * Expand::factor * block_bytes;
    const int groups = (j.rows + Op::rows - 1) / Op::rows, group = (j.rows + groups - 1) / groups;
    Fetch fetched = Fetch::nothing(b);
    for (int r = 0; r < j.rows; r += group)  // the first rows fetch while they read, unless Expand did
      micro<Op>(j.rows - r < group ? j.rows - r : group, a + r * a_stride, a_stride, b, s.blocks * Expand::factor,
                s.first_block == 0, s.acc + r * acc_row_bytes, r == 0 && Expand::factor == 1 ? fetch : fetched);
    if (s.last) Finish::run(j, s.panel, 0, j.rows, s.acc);
  }
};

/// Packs a slice of the activations row-major. Copy::run(to, from, elements, bytes) writes `bytes`, with zeros after the elements.
template <class Copy> void pack_rows(const LinearJob& j, int first, int last) {
  const std::ptrdiff_t stride = a_row_bytes(j.a_blocks);
  const int skip = j.first_block * j.widening * block_bytes / Copy::packed_size, left = j.in - skip;
  const int most = j.a_blocks * block_bytes / Copy::packed_size, n = left < most ? left : most;
  for (int r = first; r < last; ++r)
    Copy::run(static_cast<char*>(j.a) + r * stride, static_cast<const char*>(j.x) + (r * j.ldx + skip) * Copy::size, n,
              j.a_blocks * block_bytes);
}

}  // namespace
}  // namespace atom::cpu
