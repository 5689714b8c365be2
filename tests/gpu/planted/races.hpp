#pragma once
// Planted bugs: shared memory touched by two threads with no barrier between.
#include "barriers.hpp"

namespace atom::planted {

struct Ints : Base {
  struct Shared {
    gpu::array<int, 128> v;
  };
};

struct MissingBarrier : Ints {
  static constexpr const char* says = "race on shared memory: a thread ";
  template <class Cta> void operator()(Cta& cta, int* out) const {
    auto& s = cta.template shared<Shared>();
    s.v.set(cta.thread(), 0);
    cta.sync();
    s.v.set(cta.thread(), cta.thread());
    out[cta.thread()] = s.v.get(cta.thread() ^ 1);
  }
};

// The sum of one row is right; the next row's overwrites it while slow waves still read.
struct ScratchUsedTwice : Base {
  static constexpr const char* says = "race on shared memory: a thread writes what thread ";
  struct Shared {
    gpu::array<float, 4> partial;
  };
  template <class Cta> void operator()(Cta& cta, int* out) const {
    auto& s = cta.template shared<Shared>();
    const float first = gpu::block_sum(cta, 1.0f, s.partial);
    const float second = gpu::block_sum(cta, 2.0f, s.partial);
    out[cta.thread()] = static_cast<int>(first + second);
  }
};

struct TwoWriters : Ints {
  static constexpr const char* says = "race on shared memory: a thread writes what thread ";
  template <class Cta> void operator()(Cta& cta, int*) const { cta.template shared<Shared>().v.set(cta.thread() / 2, 1); }
};

// A shuffle makes lanes meet, yet orders no memory.
struct ShuffleForABarrier : Ints {
  static constexpr const char* says = "race on shared memory: a thread reads what thread ";
  template <class Cta> void operator()(Cta& cta, int* out) const {
    auto& s = cta.template shared<Shared>();
    s.v.set(cta.thread(), 1);
    cta.shfl_xor(0, 1);
    out[cta.thread()] = s.v.get(cta.thread() ^ 1);
  }
};

// Enough for neighbours within the wave, not across.
struct WaveSyncForABarrier : Ints {
  static constexpr const char* says = "race on shared memory: a thread ";
  template <class Cta> void operator()(Cta& cta, int* out) const {
    auto& s = cta.template shared<Shared>();
    s.v.set(cta.thread(), 1);
    cta.wave_sync();
    out[cta.thread()] = s.v.get(cta.thread() ^ 1);
    cta.sync();
    s.v.set(cta.thread(), 2);
    cta.wave_sync();
    out[cta.thread()] = s.v.get(cta.thread() ^ 64);
  }
};

struct PlainBesideAtomic : Ints {
  static constexpr const char* says = "race on shared memory: a thread ";
  template <class Cta> void operator()(Cta& cta, int* out) const {
    auto& s = cta.template shared<Shared>();
    if (cta.thread() == 0) s.v.set(0, 0);
    cta.sync();
    s.v.atomic_add(cta, 0, 1);
    out[cta.thread()] = s.v.get(0);
  }
};

}  // namespace atom::planted
