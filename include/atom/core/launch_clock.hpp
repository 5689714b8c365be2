#pragma once
// LaunchClock: when each kernel of a step ended.
// One idea: the forward pass that is planned on Dry and the one that runs launch the same kernels in the same order, so a list of
// times is enough; names, shapes and costs are the plan's. The door ticks; a context without a clock pays one comparison.
// To extend: a backend whose launches return early brings its own kind of clock as Backend::clock.
#include <cstdint>

namespace atom {

struct LaunchClock {
  std::int64_t (*now)() noexcept;  // nanoseconds, of a clock that never goes back
  std::int64_t* ended = nullptr;   // (capacity)
  int capacity = 0, launches = 0;

  void tick() noexcept {
    if (launches < capacity) ended[launches] = now();
    ++launches;
  }
};

}  // namespace atom
