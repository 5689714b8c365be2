#pragma once
// ThreadPool: the Cpu backend's stream. A fixed team of pinned threads, the caller being its first member.
// One idea: a kernel is `parallel(chunks, body)`; chunks are handed out by an atomic counter and write disjoint results, so
// the answer does not depend on the number of threads. Nothing is allocated after construction; calls are noexcept.
// To extend: use it from a kernel; a new scheduling policy is a new member function, not a flag.
#include <cstddef>
#include <span>
#include <type_traits>

namespace atom {

class ThreadPool {
 public:
  /// `threads` >= 1, the caller included. Thread i runs on cpus[i] (processors.hpp: place), with none wherever the system likes;
  /// the caller, thread 0, is a guest and goes where it went.
  explicit ThreadPool(int threads, std::span<const int> cpus = {});
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int threads() const noexcept { return threads_; }

  /// Calls body(chunk, thread) for every chunk in [0, chunks), concurrently; returns when all are done.
  /// `body` must not throw and must not call back into the pool.
  template <class Body> void parallel(int chunks, Body&& body) noexcept {
    using B = std::remove_reference_t<Body>;
    if (threads_ == 1 || chunks <= 1) {
      for (int i = 0; i < chunks; ++i) body(i, 0);
      return;
    }
    dispatch(
        chunks, [](void* b, int chunk, int thread) noexcept { (*static_cast<B*>(b))(chunk, thread); },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

  /// Scratch memory of one thread, 64-byte aligned, at least `bytes` long; grows only outside a step (see reserve).
  [[nodiscard]] void* scratch(int thread) noexcept;
  /// Makes every thread's scratch at least `bytes` long. Called at set-up with the largest need; throws std::bad_alloc.
  void reserve(std::size_t bytes);
  /// The same, once for all threads: what they prepare together.
  [[nodiscard]] void* shared_scratch() noexcept;
  void reserve_shared(std::size_t bytes);

 private:
  using Task = void (*)(void* body, int chunk, int thread) noexcept;
  void dispatch(int chunks, Task task, void* body) noexcept;
  struct State;
  State* state_;  // owned; see ThreadGroup
  int threads_;
};

}  // namespace atom
