#include "atom/core/thread_comm.hpp"

#include <atomic>
#include <vector>

#include "atom/core/error.hpp"

namespace atom {

// Ranks meet at a sense-reversing barrier; between two meetings each may read the others' pointers.
struct ThreadGroup::State {
  explicit State(int ranks) : size(ranks), input(static_cast<std::size_t>(ranks)), columns(static_cast<std::size_t>(ranks)) {}

  void meet() noexcept {
    const unsigned epoch = epoch_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size) {
      arrived_.store(0, std::memory_order_relaxed);
      epoch_.store(epoch + 1, std::memory_order_release);
      epoch_.notify_all();
      return;
    }
    for (int spins = 0; spins < 4096; ++spins)
      if (epoch_.load(std::memory_order_acquire) != epoch) return;
    while (epoch_.load(std::memory_order_acquire) == epoch) epoch_.wait(epoch, std::memory_order_acquire);
  }

  const int size;
  std::vector<const void*> input;
  std::vector<std::size_t> columns;

 private:
  std::atomic<int> arrived_{0};
  std::atomic<unsigned> epoch_{0};
};

ThreadGroup::ThreadGroup(int size) : state_(nullptr) {
  if (size < 1) throw Error("tensor parallelism: size must be at least 1");
  state_ = new State(size);
}
ThreadGroup::~ThreadGroup() { delete state_; }

ThreadComm::ThreadComm(ThreadGroup& group, int rank) : group_(group.state_), rank_(rank), size_(group_->size) {
  if (rank < 0 || rank >= size_) throw Error("tensor parallelism: rank must be in [0, size)");
}

const void* const* ThreadComm::show(const void* mine) noexcept {
  if (size_ == 1) return &(alone_ = mine);
  group_->input[static_cast<std::size_t>(rank_)] = mine;
  group_->meet();
  return group_->input.data();
}

void ThreadComm::barrier() noexcept {
  if (size_ > 1) group_->meet();
}

namespace {

// Each rank sums its slice over all ranks, in rank order, into every rank's buffer: the answer is one number for all.
template <class T> void sum_slice(const std::vector<const void*>& inputs, std::size_t n, int rank, int size) {
  const std::size_t each = (n + static_cast<std::size_t>(size) - 1) / static_cast<std::size_t>(size);
  const std::size_t begin = each * static_cast<std::size_t>(rank), end = begin + each < n ? begin + each : n;
  for (std::size_t i = begin; i < end; ++i) {
    float sum = 0;
    for (const void* x : inputs) sum += static_cast<float>(static_cast<const T*>(x)[i]);
    for (const void* x : inputs) static_cast<T*>(const_cast<void*>(x))[i] = T(sum);
  }
}

}  // namespace

void ThreadComm::all_reduce(float* x, std::size_t n) noexcept {
  if (size_ == 1) return;
  group_->input[static_cast<std::size_t>(rank_)] = x;
  group_->meet();
  sum_slice<float>(group_->input, n, rank_, size_);
  group_->meet();
}

void ThreadComm::all_reduce(bf16* x, std::size_t n) noexcept {
  if (size_ == 1) return;
  group_->input[static_cast<std::size_t>(rank_)] = x;
  group_->meet();
  sum_slice<bf16>(group_->input, n, rank_, size_);
  group_->meet();
}

void ThreadComm::all_gather(const float* x, float* y, std::size_t rows, std::size_t cols, std::size_t stride,
                            std::size_t ld) noexcept {
  const auto copy = [&](const float* from, std::size_t width, std::size_t at) {
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < width; ++c) y[r * ld + at + c] = from[r * width + c];
  };
  if (size_ == 1) return copy(x, cols, 0);
  group_->input[static_cast<std::size_t>(rank_)] = x;
  group_->columns[static_cast<std::size_t>(rank_)] = cols;
  group_->meet();
  for (std::size_t r = 0; r < group_->input.size(); ++r)
    copy(static_cast<const float*>(group_->input[r]), group_->columns[r], r * stride);
  group_->meet();
}

}  // namespace atom
