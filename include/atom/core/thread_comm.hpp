#pragma once
// Communicator: what tensor parallelism needs of the machine. ThreadComm: ranks as threads of one process.
// One idea: a rank calls collectives on its own pointers, in the same order as every other rank; the reduction order is fixed
// by rank, so results do not depend on timing.
// To extend: any type that satisfies Communicator (shared memory, MPI, NCCL) can be a backend's `comm`.
#include <concepts>
#include <cstddef>

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

/// What the ranks of one process share; outlives their ThreadComms.
class ThreadGroup {
 public:
  /// Throws atom::Error unless size >= 1.
  explicit ThreadGroup(int size);
  ~ThreadGroup();
  ThreadGroup(const ThreadGroup&) = delete;
  ThreadGroup& operator=(const ThreadGroup&) = delete;

 private:
  friend class ThreadComm;
  struct State;
  State* state_;  // owned; <memory> would be half of what compiling a model header costs
};

class ThreadComm {
 public:
  ThreadComm() = default;  ///< a world of one rank: every collective is the identity
  /// Throws atom::Error unless rank is in [0, size of the group).
  ThreadComm(ThreadGroup& group, int rank);

  [[nodiscard]] int rank() const noexcept { return rank_; }
  [[nodiscard]] int size() const noexcept { return size_; }

  void all_reduce(float* x, std::size_t n) noexcept;
  void all_reduce(bf16* x, std::size_t n) noexcept;
  /// Rank r's `x` (rows, cols) becomes columns [r * stride, r * stride + its cols) of every rank's `y` (rows, ld).
  void all_gather(const float* x, float* y, std::size_t rows, std::size_t cols, std::size_t stride, std::size_t ld) noexcept;
  /// What every rank shows, by rank. It must stay as it is, and so must what it points to, until all ranks have met at barrier().
  const void* const* show(const void* mine) noexcept;
  void barrier() noexcept;

 private:
  ThreadGroup::State* group_ = nullptr;
  const void* alone_ = nullptr;  // what a world of one rank shows
  int rank_ = 0, size_ = 1;
};

}  // namespace atom
