#pragma once
// Planted bugs: what was never written, lies outside, is not aligned, or is still on its way.
#include "atom/gpu/async.hpp"

#include "races.hpp"

namespace atom::planted {

struct NeverWritten : Ints {
  static constexpr const char* says = "shared memory is read that no thread of the block wrote";
  template <class Cta> void operator()(Cta& cta, int* out) const {
    auto& s = cta.template shared<Shared>();
    if (cta.thread() < 127) s.v.set(cta.thread(), 1);
    cta.sync();
    out[cta.thread()] = s.v.get(cta.thread());
  }
};

struct LeftFromTheBlockBefore : Ints {
  static constexpr const char* says = "shared memory is read that no thread of the block wrote; block (1, 0)";
  template <class Cta> void operator()(Cta& cta, int* out) const {
    auto& s = cta.template shared<Shared>();
    if (cta.block_x() == 0) s.v.set(cta.thread(), 1);
    out[cta.thread()] = s.v.get(cta.thread());
  }
};

struct OutOfBounds : Ints {
  static constexpr const char* says = "shared array of 1 x 128 is touched at (0, 128); block (";
  template <class Cta> void operator()(Cta& cta, int*) const { cta.template shared<Shared>().v.set(cta.thread() + 1, 1); }
};

struct VectorOutOfBounds : Ints {
  static constexpr const char* says = "shared array of 1 x 128 is touched at (0, 128) and 3 behind";
  template <class Cta> void operator()(Cta& cta, int*) const {
    if (cta.thread() == 0) cta.template shared<Shared>().v.template store<4>(0, 128, {});
  }
};

struct Misaligned : Ints {
  static constexpr const char* says = "a vector of 16 bytes is not aligned to them";
  template <class Cta> void operator()(Cta& cta, int* out) const {
    if (cta.thread() == 5) out[0] = gpu::load<4>(out + 1).v[0];
  }
};

struct Copied : Base {
  struct Shared {
    gpu::array<int, 512> v;
  };
  template <class Cta> static void copy(Cta& cta, const int* from) {
    gpu::copy_async<4>(cta.template shared<Shared>().v, 0, cta.thread() * 4, from + cta.thread() * 4, true);
    gpu::commit_copies();
  }
};

struct ReadInFlight : Copied {
  static constexpr const char* says = "shared memory is touched while an asynchronous copy to it is in flight";
  template <class Cta> void operator()(Cta& cta, int* out) const {
    copy(cta, out);
    cta.sync();
    out[cta.thread()] = cta.template shared<Shared>().v.get(cta.thread());
    gpu::wait_copies<0>();
  }
};

struct WaitForTooFew : Copied {
  static constexpr const char* says = "shared memory is touched while an asynchronous copy to it is in flight";
  template <class Cta> void operator()(Cta& cta, int* out) const {
    copy(cta, out);
    gpu::wait_copies<1>();
    cta.sync();
    out[cta.thread()] = cta.template shared<Shared>().v.get(cta.thread());
    gpu::wait_copies<0>();
  }
};

// wait_copies() waits for a thread's own copies; the others' need the barrier.
struct NoBarrierBehindTheWait : Copied {
  static constexpr const char* says = "shared memory";
  template <class Cta> void operator()(Cta& cta, int* out) const {
    copy(cta, out);
    gpu::wait_copies<0>();
    out[cta.thread()] = cta.template shared<Shared>().v.get((cta.thread() * 4 + 4) % 512);
  }
};

struct NobodyWaits : Copied {
  static constexpr const char* says = "a thread returned while its asynchronous copies were in flight";
  template <class Cta> void operator()(Cta& cta, int* out) const { copy(cta, out); }
};

}  // namespace atom::planted
