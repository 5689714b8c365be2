#pragma once
// A fiber: a stack of its own that runs until it gives the thread back. Known to the sanitizers.
#include <cstddef>
#include <memory>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace atom::gpu::emu {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// The next resume() calls entry() on an empty stack. Whatever the fiber was doing is forgotten, without destructors.
  /// entry never returns: its last act is finish(), after which the fiber may only be started anew.
  void start(void (*entry)()) noexcept;
  /// Runs the fiber until it calls leave().
  void resume() noexcept;
  /// Back to resume()'s caller. To be called on this fiber's stack.
  void leave() noexcept;
  /// leave(), at the end of entry: nothing on the stack will be needed.
  void finish() noexcept;
  /// First thing in entry.
  void entered() noexcept;

 private:
  static constexpr std::size_t stack_bytes_ = 128 << 10;
  static constexpr std::size_t entry_bytes_ = 4 << 10;  // more than the frame of entry takes
  std::unique_ptr<char[]> stack_;
  bool finished_ = true;
#if defined(__x86_64__)
  void* here_ = nullptr;   // the fiber's stack pointer while it waits
  void* there_ = nullptr;  // its caller's while it runs
#else
  ucontext_t here_{}, there_{};
#endif
  // The sanitizers' view of the same.
  [[maybe_unused]] void* fake_stack_ = nullptr;
  [[maybe_unused]] const void* caller_bottom_ = nullptr;
  [[maybe_unused]] std::size_t caller_size_ = 0;
  [[maybe_unused]] void* tsan_fiber_ = nullptr;
  [[maybe_unused]] void* tsan_caller_ = nullptr;
};

}  // namespace atom::gpu::emu
