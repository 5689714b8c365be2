#include "atom/core/error.hpp"

#include <cstdio>
#include <cstdlib>

namespace atom {

void assertion_failed(const char* condition, const char* why, const char* file, int line) noexcept {
  std::fprintf(stderr, "%s:%d: %s (%s)\n", file, line, why, condition);
  std::abort();
}

}  // namespace atom
