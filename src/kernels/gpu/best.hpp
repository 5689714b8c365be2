#pragma once
// The most likely token, among those that a thread, a wave or a block of them has seen. kernels::BestToken, on its way.
#include "atom/gpu/shared.hpp"
#include "atom/ops/sampling_op.hpp"

namespace atom::gpu {

struct Best {
  static constexpr int none = 0x7fffffff;
  float logit = -INFINITY;
  int id = none;

  ATOM_DEVICE void take(float l, int i) {
    if (l > logit || (l == logit && i < id)) logit = l, id = i;
  }
  /// Of all lanes that differ from this one in bits between `first` and `end`, powers of two. All lanes of the wave must arrive.
  template <class Cta> ATOM_DEVICE void of_lanes(Cta& cta, int first, int end) {
    for (int m = first; m < end; m *= 2) {
      const float l = cta.shfl_xor(logit, m);
      const int i = cta.shfl_xor(id, m);
      take(l, i);
    }
  }
  ATOM_DEVICE int token() const { return id == none ? 0 : id; }
  ATOM_DEVICE std::uint64_t key() const { return id == none ? 0 : kernels::BestToken::of(logit, id); }
  ATOM_DEVICE static Best from(std::uint64_t key) {
    Best b;
    if (key != 0) b.logit = kernels::BestToken::logit(key), b.id = kernels::BestToken::token(key);
    return b;
  }
};

/// What a block found for each row, in so many parts, joins what others did. All threads must arrive; there are as many as rows.
template <class Cta, int Parts, int Rows>
ATOM_DEVICE void join_best(Cta& cta, const array<std::uint64_t, Parts, Rows>& found, std::uint64_t* best, int rows) {
  static_assert(Cta::threads() >= Rows);
  cta.sync();
  const int row = cta.thread();
  if (row >= rows) return;
  std::uint64_t most = 0;
  ATOM_UNROLL for (int p = 0; p < Parts; ++p) {
    const std::uint64_t key = found.get(p, row);
    if (key > most) most = key;
  }
  if (most != 0) cta.atomic_max(best + row, most);
}

}  // namespace atom::gpu
