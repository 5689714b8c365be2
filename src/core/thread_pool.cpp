#include "atom/core/thread_pool.hpp"

#include <atomic>
#include <cstddef>
#include <immintrin.h>
#include <memory>
#include <new>
#include <sched.h>
#include <sys/mman.h>
#include <thread>
#include <vector>

#include "atom/core/error.hpp"
#include "atom/core/processors.hpp"

namespace atom {
namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20;

struct Free {
  void operator()(void* p) const noexcept { ::operator delete (p, std::align_val_t{huge_page}); }
};
using Block = std::unique_ptr<void, Free>;

Block allocate(std::size_t bytes) {
  Block block(::operator new (bytes, std::align_val_t{huge_page}));
  madvise(block.get(), bytes, MADV_HUGEPAGE);  // packed operands are walked in whole: fewer TLB misses
  return block;
}

// Waits until `value` satisfies `done`: first on the core (the next kernel of a step is microseconds away), then giving the
// core away (more threads than cores must still make progress), then asleep.
template <class Done> int wait_until(const std::atomic<int>& value, Done done) noexcept {
  int v = value.load(std::memory_order_acquire);
  for (int spins = 0; !done(v); ++spins) {
    if (spins < 1500)
      _mm_pause();
    else if (spins < 1540)
      sched_yield();
    else
      value.wait(v, std::memory_order_acquire);
    v = value.load(std::memory_order_acquire);
  }
  return v;
}

constexpr int stop = -1;

}  // namespace

// `unclaimed` counts the chunks nobody has taken, `unfinished` those whose body has not returned. A thread that claims a chunk
// may read task, body and chunks until it has counted that chunk finished; the caller rewrites them only when unfinished is 0.
// So a worker that wakes late, or never, holds nobody up.
struct ThreadPool::State {
  alignas(64) std::atomic<int> unclaimed{0};
  alignas(64) std::atomic<int> unfinished{0};
  alignas(64) Task task = nullptr;
  void* body = nullptr;
  int chunks = 0;
  std::size_t scratch_bytes = 0;  // of one thread, a multiple of 64
  std::size_t shared_bytes = 0;
  Block scratch, shared;
  std::vector<std::thread> workers;

  void take_chunks(int thread) noexcept {
    int finished = 0;
    for (int left = unclaimed.load(std::memory_order_acquire); left > 0;) {
      if (!unclaimed.compare_exchange_weak(left, left - 1, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
      task(body, chunks - left, thread);
      ++finished;
      left = unclaimed.load(std::memory_order_acquire);
    }
    if (finished > 0 && unfinished.fetch_sub(finished, std::memory_order_acq_rel) == finished) unfinished.notify_one();
  }

  void work(int thread) noexcept {
    while (wait_until(unclaimed, [](int left) { return left != 0; }) != stop) take_chunks(thread);
  }

  ~State() {
    unclaimed.store(stop);
    unclaimed.notify_all();
    for (auto& w : workers) w.join();
  }
};

ThreadPool::ThreadPool(int threads, std::span<const int> cpus) : state_(nullptr), threads_(threads) {
  if (threads < 1) throw Error("threads: must be at least 1; pass the number of cores to use");
  auto state = std::make_unique<State>();
  if (!cpus.empty() && cpus.size() < static_cast<std::size_t>(threads)) throw Error("threads: each needs a CPU to be pinned to");
  state->workers.reserve(static_cast<std::size_t>(threads) - 1);
  for (std::size_t i = 1; i < static_cast<std::size_t>(threads); ++i) {
    const int cpu = cpus.empty() ? -1 : cpus[i];
    state->workers.emplace_back([s = state.get(), i, cpu] {
      if (cpu >= 0) confine(std::span(&cpu, 1));
      s->work(static_cast<int>(i));
    });
  }
  state_ = state.release();
}

ThreadPool::~ThreadPool() { delete state_; }

void ThreadPool::dispatch(int chunks, Task task, void* body) noexcept {
  State& s = *state_;
  s.task = task;
  s.body = body;
  s.chunks = chunks;
  s.unfinished.store(chunks, std::memory_order_relaxed);
  s.unclaimed.exchange(chunks, std::memory_order_acq_rel);  // a full fence on x86: notify must not look for sleepers before it
  s.unclaimed.notify_all();
  s.take_chunks(0);
  wait_until(s.unfinished, [](int left) { return left == 0; });
}

void* ThreadPool::scratch(int thread) noexcept {
  return static_cast<std::byte*>(state_->scratch.get()) + static_cast<std::size_t>(thread) * state_->scratch_bytes;
}

void ThreadPool::reserve(std::size_t bytes) {
  State& s = *state_;
  if (bytes <= s.scratch_bytes) return;
  // An odd number of cache lines more than a page multiple: equal offsets of two threads do not share a cache set.
  const std::size_t each = (bytes + 4095) / 4096 * 4096 + 64, total = each * static_cast<std::size_t>(threads_);
  if (each < bytes || total / each != static_cast<std::size_t>(threads_)) throw std::bad_alloc();
  s.scratch = allocate(total);
  s.scratch_bytes = each;
}

void* ThreadPool::shared_scratch() noexcept { return state_->shared.get(); }

void ThreadPool::reserve_shared(std::size_t bytes) {
  State& s = *state_;
  if (bytes <= s.shared_bytes) return;
  s.shared = allocate(bytes);
  s.shared_bytes = bytes;
}

}  // namespace atom
