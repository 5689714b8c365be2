#pragma once
// What every kernel family's ordinary translation unit needs: the function of the level in force, and rows cut into chunks.
#include <cstddef>

#include "atom/core/cpu_features.hpp"
#include "atom/core/thread_pool.hpp"

namespace atom::cpu {

/// Of one function compiled for two levels or three, the one to call.
template <class Function> Function* in_force(Function* avx2, Function* avx512) { return isa() >= Isa::avx512 ? avx512 : avx2; }
template <class Function> Function* in_force(Function* avx2, Function* avx512, Function* avx512_bf16) {
  return isa() >= Isa::avx512_bf16 ? avx512_bf16 : in_force(avx2, avx512);
}

/// Calls body(first, count) over all rows, side by side where the work outweighs waking the pool (microseconds). How rows are cut
/// depends on the shape alone.
template <class Body> void for_rows(ThreadPool* pool, int rows, int elements_per_row, Body body) noexcept {
  constexpr int chunk_elements = 16384, run = 8;  // of many rows so many at least: kernels fetch the next row meanwhile
  const int least = elements_per_row >= chunk_elements ? 1 : chunk_elements / (elements_per_row > 0 ? elements_per_row : 1);
  const int wished = rows / 64 < run ? rows / 64 : run, each = least < wished ? wished : least;
  pool->parallel(rows / each + (rows % each != 0), [&](int chunk, int) noexcept {
    const int first = chunk * each;
    body(first, rows - first < each ? rows - first : each);
  });
}

}  // namespace atom::cpu
