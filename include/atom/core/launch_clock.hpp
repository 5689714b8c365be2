#pragma once
// LaunchClock: when each kernel of a step ended.
// One idea: the forward pass that is planned on Dry and the one that runs launch the same kernels in the same order, so a list of
// times is enough; names, shapes and costs are the plan's. The door ticks; a context without a clock pays one comparison.
// To extend: whoever starts a clock brings `mark`, which notes the time on the host, or an event on a device (engine::Stopwatch).

namespace atom {

struct LaunchClock {
  using Mark = void (*)(LaunchClock&, int launch) noexcept;
  LaunchClock(Mark m, int most) : mark(m), capacity(most) {}

  Mark mark;
  int capacity, launches = 0;

  void tick() noexcept {
    if (launches < capacity) mark(*this, launches);
    ++launches;
  }
};

}  // namespace atom
