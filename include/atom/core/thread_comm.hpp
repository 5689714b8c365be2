#pragma once
// Communicator: what tensor parallelism needs of the machine. ThreadComm: ranks as threads of one process.
// One idea: a rank calls collectives on its own pointers, in the same order as every other rank; the reduction order is fixed
// by rank, so results do not depend on timing.
// To extend: any type that satisfies Communicator (shared memory, MPI, NCCL) can be a backend's `comm`.
#include <concepts>
#include <cstddef>
#include <memory>

#include "atom/core/dtype.hpp"

namespace atom {

template <class C>
concept Communicator = requires(C& c, float* x, bf16* y, const float* in, std::size_t n) {
  { c.rank() } -> std::convertible_to<int>;
  { c.size() } -> std::convertible_to<int>;
  c.all_reduce(x, n);  // x: (n) becomes the sum over ranks, in rank order, in float
  c.all_reduce(y, n);
  c.all_gather(in, x, n, n, n, n);  // see ThreadComm::all_gather
};

class ThreadComm {
 public:
  /// What the ranks of one process share. Create one, hand each rank thread a ThreadComm over it.
  class Group;
  static std::shared_ptr<Group> make_group(int size);

  ThreadComm() = default;  ///< a world of one rank: every collective is the identity
  ThreadComm(std::shared_ptr<Group> group, int rank);

  [[nodiscard]] int rank() const noexcept { return rank_; }
  [[nodiscard]] int size() const noexcept { return size_; }

  void all_reduce(float* x, std::size_t n) noexcept;
  void all_reduce(bf16* x, std::size_t n) noexcept;
  /// Rank r's `x` (rows, cols) becomes columns [r * stride, r * stride + its cols) of every rank's `y` (rows, ld).
  void all_gather(const float* x, float* y, std::size_t rows, std::size_t cols, std::size_t stride, std::size_t ld) noexcept;
  void barrier() noexcept;

 private:
  std::shared_ptr<Group> group_;
  int rank_ = 0, size_ = 1;
};

}  // namespace atom
