#pragma once
// InterruptGuard: while one lives, Ctrl-C asks instead of ending the program.
#include <csignal>

namespace atom::tools {

class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  /// Whether SIGINT has come since it was made, or since reset().
  [[nodiscard]] bool interrupted() const;
  void reset();

 private:
  struct sigaction before_;
};

}  // namespace atom::tools
