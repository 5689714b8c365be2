#pragma once
// Copies from device to shared memory that need no registers: cp.async on NVIDIA, a load and a store on AMD, and on the emulator
// bytes that land only when their thread waits for them.
// One idea: copies are committed in groups; wait<N>() returns when at most N groups of this thread are still on their way. Other
// threads see the data after a barrier behind that.
// To extend: bulk copies (TMA, direct-to-LDS) are further functions here, each with its landing rule in the emulator.
#include "atom/gpu/shared.hpp"

namespace atom::gpu {

/// to(r, c .. c + N) = from[0 .. N), 16 bytes, both aligned; zeros unless `exists` (then `from` is not read, but must be a valid
/// pointer to something). Line: other waves ask for the rest of its line of 128 bytes just then.
template <int N, bool Line = false, class S, class T> ATOM_DEVICE void copy_async(S& to, int r, int c, const T* from, bool exists) {
  static_assert(N * sizeof(T) == 16, "atom: asynchronous copies are 16 bytes wide");
#if ATOM_GPU_EMULATED
  emu::copy_async(to.template target<N>(r, c), from, exists);
#elif ATOM_GPU_AMD
  store<N>(to.template target<N>(r, c), exists ? load<N>(from) : vec<T, N>{});
#else
  const auto at = static_cast<unsigned>(__cvta_generic_to_shared(to.template target<N>(r, c)));
  if constexpr (Line)
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(exists ? 16 : 0) : "memory");
  else
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(exists ? 16 : 0) : "memory");
#endif
}

ATOM_DEVICE void commit_copies() {
#if ATOM_GPU_EMULATED
  emu::commit_copies();
#elif ATOM_GPU_NVIDIA
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

template <int Groups> ATOM_DEVICE void wait_copies() {
#if ATOM_GPU_EMULATED
  emu::wait_copies(Groups);
#elif ATOM_GPU_NVIDIA
  asm volatile("cp.async.wait_group %0;" ::"n"(Groups) : "memory");
#endif
}

}  // namespace atom::gpu
