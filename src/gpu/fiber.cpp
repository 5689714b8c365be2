#include "fiber.hpp"

#include <cstdint>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ATOM_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define ATOM_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define ATOM_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define ATOM_TSAN 1
#endif
#if defined(ATOM_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(ATOM_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

#if defined(__x86_64__)
// Saves what a call must preserve, exchanges stacks, restores. Two system calls less than swapcontext, ten times as fast.
extern "C" void atom_fiber_switch(void** save, void* load);
asm(R"(
.text
.p2align 4
.type atom_fiber_switch, @function
atom_fiber_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size atom_fiber_switch, .-atom_fiber_switch
)");
#endif

namespace atom::gpu::emu {

Fiber::Fiber() : stack_(new char[stack_bytes_]) {
#if defined(ATOM_TSAN)
  tsan_fiber_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
#if defined(ATOM_TSAN)
  __tsan_destroy_fiber(tsan_fiber_);
#endif
}

void Fiber::start(void (*entry)()) noexcept {
#if defined(ATOM_ASAN)
  // Frames that did not return leave their red zones behind: entry's, and all of an abandoned stack.
  const std::size_t stale = finished_ ? entry_bytes_ : stack_bytes_;
  __asan_unpoison_memory_region(stack_.get() + stack_bytes_ - stale, stale);
#endif
  finished_ = false;
  fake_stack_ = nullptr;
#if defined(__x86_64__)
  auto* top =
      reinterpret_cast<std::uintptr_t*>(reinterpret_cast<std::uintptr_t>(stack_.get() + stack_bytes_) & ~std::uintptr_t{15});
  *--top = 0;  // where entry would return to; and the alignment that a call leaves
  *--top = reinterpret_cast<std::uintptr_t>(entry);
  for (int i = 0; i < 6; ++i) *--top = 0;  // the registers
  here_ = top;
#else
  getcontext(&here_);
  here_.uc_stack.ss_sp = stack_.get();
  here_.uc_stack.ss_size = stack_bytes_;
  here_.uc_link = nullptr;
  makecontext(&here_, entry, 0);
#endif
}

void Fiber::resume() noexcept {
#if defined(ATOM_ASAN)
  void* mine = nullptr;
  __sanitizer_start_switch_fiber(&mine, stack_.get(), stack_bytes_);
#endif
#if defined(ATOM_TSAN)
  tsan_caller_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(tsan_fiber_, 0);
#endif
#if defined(__x86_64__)
  atom_fiber_switch(&there_, here_);
#else
  swapcontext(&there_, &here_);
#endif
#if defined(ATOM_ASAN)
  __sanitizer_finish_switch_fiber(mine, nullptr, nullptr);
#endif
}

void Fiber::entered() noexcept {
#if defined(ATOM_ASAN)
  __sanitizer_finish_switch_fiber(nullptr, &caller_bottom_, &caller_size_);
#endif
}

void Fiber::finish() noexcept {
  finished_ = true;
  leave();
}

void Fiber::leave() noexcept {
#if defined(ATOM_ASAN)
  __sanitizer_start_switch_fiber(&fake_stack_, caller_bottom_, caller_size_);
#endif
#if defined(ATOM_TSAN)
  __tsan_switch_to_fiber(tsan_caller_, 0);
#endif
#if defined(__x86_64__)
  atom_fiber_switch(&here_, there_);
#else
  swapcontext(&here_, &there_);
#endif
#if defined(ATOM_ASAN)
  __sanitizer_finish_switch_fiber(fake_stack_, &caller_bottom_, &caller_size_);
#endif
}

}  // namespace atom::gpu::emu
