#pragma once
// Backends: empty tags that say where kernels run. A backend names the stream its kernels take and the communicator its
// collectives use.
//   Ref    reference loops: every op's specification, on one thread
//   Cpu    x86-64 kernels over a pinned thread pool, instruction set chosen at start
//   Hip    one GPU, AMD or NVIDIA: the same kernel sources, compiled for the one or the other (docs/gpu.md)
//   Emu<W> those sources again, on the CPU, with W lanes in a wave: 64 as on CDNA, 32 as on NVIDIA (atom/gpu/emu.hpp)
//   Dry    no kernels: records what a forward pass would launch (atom/dry.hpp)
// To extend: a struct with `stream` and `comm`, then specialise atom::impl key by key (docs/adding_a_backend.md).
#include <concepts>

#include "atom/core/thread_comm.hpp"
#include "atom/core/thread_pool.hpp"

namespace atom {

struct Ref {
  struct nothing {};
  using stream = nothing;
  using comm = ThreadComm;
};

struct Cpu {
  using stream = ThreadPool*;
  using comm = ThreadComm;
};

struct Hip {
  struct opaque;
  using stream = opaque*;  // never a vendor's type: it would enter the mangled names of every kernel
  struct comm {            // one rank; collectives are keys that this backend has no kernels for yet
    static constexpr int rank() { return 0; }
    static constexpr int size() { return 1; }
  };
};

/// The host reads and writes what kernels do.
template <class B>
concept HostMemory = std::derived_from<B, Ref> || std::derived_from<B, Cpu>;

namespace gpu::emu {
class Machine;
}
template <int W> struct Emu {
  static_assert(W == 32 || W == 64, "atom: waves have 32 or 64 lanes");
  static constexpr int wave = W;
  using stream = gpu::emu::Machine*;
  using comm = ThreadComm;
};

}  // namespace atom
