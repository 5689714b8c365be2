#include "interrupt.hpp"

#include <atomic>

namespace atom::tools {

namespace {

std::atomic<bool> interrupt_flag = false;  // the one thing that a signal handler of this program touches
static_assert(std::atomic<bool>::is_always_lock_free);

}  // namespace

InterruptGuard::InterruptGuard() : before_{} {
  reset();
  struct sigaction action {};
  action.sa_handler = [](int) { interrupt_flag = true; };
  action.sa_flags = SA_RESTART;  // a write of an answer is not to fail
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &before_);
}
InterruptGuard::~InterruptGuard() { sigaction(SIGINT, &before_, nullptr); }

bool InterruptGuard::interrupted() const { return interrupt_flag; }
void InterruptGuard::reset() { interrupt_flag = false; }

}  // namespace atom::tools
