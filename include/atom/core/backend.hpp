#pragma once
// Backends: empty tags that say where kernels run. A backend names the stream its kernels take and the communicator its
// collectives use.
//   Ref    reference loops: every op's specification, on one thread
//   Cpu    x86-64 kernels over a pinned thread pool, instruction set chosen at start
//   Dry    no kernels: records what a forward pass would launch (atom/dry.hpp)
// To extend: a struct with `stream` and `comm`, then specialise atom::impl key by key (docs/adding_a_backend.md).
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

}  // namespace atom
