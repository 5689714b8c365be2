#pragma once
// Attention of the Cpu backend: the units of work, their scratch memory, and what a level provides for them.
// One idea: a task is one KV head of one sequence with all query heads that read it, so keys and values are read once. Sequences
// with several rows go through prefill(), block of rows by block; a single row goes through decode(), chunk of context by chunk,
// and merge() joins the chunks. How work is cut depends on a sequence's own shape alone: neither the thread count nor the rest of
// the batch changes a bit of its result.
#include <cstddef>

#include "atom/core/dtype.hpp"
#include "atom/ops/kv_layout.hpp"

#include "levels.hpp"

namespace atom::cpu {

inline constexpr float log2_e = 1.44269504f;  // exponentials are powers of two
inline constexpr int page = kernels::page_tokens;
inline constexpr int query_lanes = 512;     // (row, query head) pairs of a prefill task
inline constexpr int key_chunk = 256;       // tokens between two rescalings of a prefill task
inline constexpr int decode_block = 128;    // the same of a decode task
inline constexpr int decode_chunk = 512;    // tokens of a decode task, as long as that makes at most ...
inline constexpr int decode_chunks = 16;    // ... this many
inline constexpr int wave_sequences = 128;  // handed to the pool at once
inline constexpr int wave_partials = 128;   // chunks of all their contexts

/// The first token seen by a row that `visible` tokens lead up to, itself included.
constexpr int first_seen(int visible, int window) { return visible > window ? visible - window : 0; }

template <class T, class Kv> struct AttentionTask {
  const T* q;  // (rows, group * d), row stride ldq
  T* o;        // (rows, group * d), row stride ldo
  using Element = kernels::cache_element<Kv>;
  const Element* k;  // page p of this KV head, (page, d) and then its scales, begins at k + p * page_stride
  const Element* v;  // likewise
  const int* pages;  // (context / page, rounded up)
  std::ptrdiff_t ldq, ldo, page_stride;
  int d, group;
  int rows, context;   // row i is token context - rows + i and sees the `window` tokens up to itself
  int window;          // 1 to context
  const float* sinks;  // (group), or null
  float scale;
  float* lse = nullptr;  // (rows, group), written by prefill unless null: log2 of the sum of 2^score, scores in powers of two

  /// The page where what the first row sees begins.
  int first() const { return first_seen(context - rows + 1, window) / page * page; }
};

/// What follows the rows of a page: their scales, (page).
template <class Level, class Kv> const float* scales_of(const kernels::cache_element<Kv>* rows, int d) {
  return reinterpret_cast<const float*>(rows + page * d);
}
/// What the elements of one row of a page are multiplied by: 1 where they are numbers as they are.
template <class Level, class Kv> float scale_of(const kernels::cache_element<Kv>* rows, int token, int d) {
  if constexpr (kernels::has_scales<Kv>)
    return scales_of<Level, Kv>(rows, d)[token];
  else
    return 1;
}

// Partial result of one query head: sum of p * v (d), then the largest score, in powers of two, and the sum of p; d + partial_extra
// floats.
inline constexpr int partial_extra = 16;

inline constexpr std::size_t prefill_floats(int d) {
  constexpr int lanes = query_lanes + 32;
  return static_cast<std::size_t>(2 * lanes * d + 2 * key_chunk * d + 4 * key_chunk * 32 + 3 * lanes);
}
/// What tiles decode: fewer query heads are as fast without, more do not fit.
constexpr bool tiles_decode(int group, int d) { return group >= 4 && group <= 16 && d % 32 == 0; }
inline constexpr std::size_t decode_floats(int group, int d) {
  return static_cast<std::size_t>(tiles_decode(group, d) ? 16 * (3 * decode_block + 2 * d) + 32 * decode_block / 2 + 2 * page * d
                                                         : group * (d + decode_block));
}

template <class Level, class T, class Kv> struct Attention {
  /// d a multiple of 16 (tiles: 32); rows * group at most query_lanes. `scratch`: prefill_floats(d), 64-byte aligned.
  static void prefill(const AttentionTask<T, Kv>& a, float* scratch);
  /// One row over tokens [first, first + tokens), `first` a multiple of page: writes `group` partials. `scratch`: decode_floats.
  static void decode(const AttentionTask<T, Kv>& a, int first, int tokens, float* partials, float* scratch);
  /// Joins `chunks` sets of partials, `stride` floats apart, into the row's output. Overwrites the partials' scores.
  static void merge(const AttentionTask<T, Kv>& a, float* partials, std::ptrdiff_t stride, int chunks);
};
/// Tiles: decode() where tiles_decode(); merge() is the vectors'.
template <class Kv> struct Attention<Amx, bf16, Kv> {
  static void prefill(const AttentionTask<bf16, Kv>& a, float* scratch);
  static void decode(const AttentionTask<bf16, Kv>& a, int first, int tokens, float* partials, float* scratch);
};

}  // namespace atom::cpu
