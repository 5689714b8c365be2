#pragma once
// Planted bugs: barriers and shuffles that not every thread reaches.
#include "atom/gpu/shared.hpp"

namespace atom::planted {

struct Base {
  static constexpr int threads(int) { return 128; }
  struct Shared {};
};

struct BarrierInABranch : Base {
  static constexpr const char* says = "barrier is not reached by every thread of the block, but by 100 of 128";
  template <class Cta> void operator()(Cta& cta, int*) const {
    if (cta.thread() < 100) cta.sync();
  }
};

struct ReturnBeforeTheBarrier : Base {
  static constexpr const char* says = "barrier is not reached by every thread of the block, but by 127 of 128";
  template <class Cta> void operator()(Cta& cta, int*) const {
    cta.sync();
    if (cta.thread() == 127) return;
    cta.sync();
  }
};

#if !defined(__clang__)  // clang 15 takes the place of a default argument for the place of the call
struct TwoBarriers : Base {
  static constexpr const char* says = "threads wait at two places: barriers.hpp:33 (barrier) and barriers.hpp:35 (barrier)";
  template <class Cta> void operator()(Cta& cta, int*) const {
    if (cta.wave_id() == 0)
      cta.sync();
    else
      cta.sync();
  }
};
#endif

struct ShuffleInABranch : Base {
  static constexpr const char* says = "shuffle is not reached by every lane of the wave, but by 16 of ";
  template <class Cta> void operator()(Cta& cta, int*) const {
    if (cta.lane() < 16) cta.shfl_xor(1, 1);
  }
};

struct ShuffleBesideABarrier : Base {
  static constexpr const char* says = "shuffle is not reached by every lane of the wave, but by 31 of ";
  template <class Cta> void operator()(Cta& cta, int*) const {
    if (cta.thread() < 31)
      cta.shfl_xor(1, 1);
    else
      cta.sync();
  }
};

struct LaneOutsideTheWave : Base {
  static constexpr const char* says = "shuffle from lane -1 of ";
  template <class Cta> void operator()(Cta& cta, int*) const { cta.shfl(1, cta.lane() - 1); }
};

}  // namespace atom::planted
