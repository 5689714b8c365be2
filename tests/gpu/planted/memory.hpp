#pragma once
// Planted bugs: what was never written, lies outside, is not aligned, or is still on its way.
#include "atom/gpu/async.hpp"
#include "atom/gpu/bulk.hpp"

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

// One thread copies tiles; who reads them waits for their arrival, and says when it is done.
struct Tiles : Base {
  struct Shared {
    gpu::swizzled<bf16, 8, 64> v;
    gpu::arrivals here, read;
  };
  template <class Cta> static Shared& begin(Cta& cta) {
    auto& s = cta.template shared<Shared>();
    if (cta.thread() == 0) s.here.begin(1), s.read.begin(Cta::waves());
    gpu::share_arrivals(cta);
    return s;
  }
  static void copy(Shared& s, const int* from, int bytes = 1024) {
    s.here.expect(bytes);
    gpu::copy_tile(s.v, 0, gpu::map_tiles(reinterpret_cast<const bf16*>(from), 8, 64, 64, 8), 8, 0, 0, s.here);
  }
  template <class Cta> static void read(Cta& cta, Shared& s, int* out) {
    out[cta.thread()] += s.v.get(cta.thread() / 16 % 8, cta.thread() % 16).raw;
  }
};

struct ReadBeforeItsPhase : Tiles {
  static constexpr const char* says = "shared memory is touched while an asynchronous copy to it is in flight";
  template <class Cta> void operator()(Cta& cta, int* out) const {
    auto& s = begin(cta);
    if (cta.thread() == 0) copy(s, out);
    cta.sync();
    read(cta, s, out);
    s.here.wait(0);
  }
};

struct FewerBytesThanAnnounced : Tiles {
  static constexpr const char* says = "arrivals that a thread waits for never come";
  template <class Cta> void operator()(Cta& cta, int* out) const {
    auto& s = begin(cta);
    if (cta.thread() == 0) copy(s, out, 2048);
    s.here.wait(0);
    read(cta, s, out);
  }
};

struct TileThatIsStillRead : Tiles {
  static constexpr const char* says = "a copy begins to what thread ";
  template <class Cta> void operator()(Cta& cta, int* out) const {
    auto& s = begin(cta);
    if (cta.thread() == 0) copy(s, out);
    s.here.wait(0);
    read(cta, s, out);
    if (cta.lane() == 0) s.read.arrive();  // and the other lanes?
    if (cta.thread() == 0) {
      s.read.wait(0);
      copy(s, out);
    }
    s.here.wait(1);
  }
};

struct TooManyArrive : Tiles {
  static constexpr const char* says = "more threads arrive than a phase waits for";
  template <class Cta> void operator()(Cta& cta, int*) const {
    auto& s = begin(cta);
    s.here.expect(16);
  }
};

struct ArrivalsNobodyBegan : Tiles {
  static constexpr const char* says = "a thread arrives where nothing has begun";
  template <class Cta> void operator()(Cta& cta, int*) const { cta.template shared<Shared>().here.arrive(); }
};

struct NobodyWaitsForTheTile : Tiles {
  static constexpr const char* says = "a block returned while copies were in flight that nobody waited for";
  template <class Cta> void operator()(Cta& cta, int* out) const {
    auto& s = begin(cta);
    if (cta.thread() == 0) copy(s, out);
  }
};

}  // namespace atom::planted
