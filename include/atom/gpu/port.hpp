#pragma once
// One kernel source, three machines: AMD (clang -x hip), NVIDIA (nvcc) and the emulator (any C++20 compiler).
// One idea: a kernel is an empty functor,
//
//   struct K {
//     static constexpr int threads(int wave);            // per block, a multiple of the wave
//     struct Shared { gpu::array<float, 32> partial; };  // every byte of it through array's members
//     template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& a) const;
//   };
//
// and whatever one of its threads may ask of the machine goes through `cta`. gpu::launch<K, Backend>(stream, grid, args) is
// the only launch in the program. AMD device code is written over compiler builtins, without a vendor's header; launching is
// one function of the runtime (atom/gpu/runtime.hpp).
// To extend: a member of Cta here, the same member of emu::Cta, and a test in tests/gpu/machine_test.cpp.
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "atom/core/backend.hpp"
#include "atom/core/dtype.hpp"

#if defined(__HIP__)
#define ATOM_GPU_AMD 1
#define ATOM_GPU_NVIDIA 0
#define ATOM_DEVICE __attribute__((device, always_inline)) inline
#if !defined(__HIP_DEVICE_COMPILE__)
#include <hip/hip_runtime_api.h>  // what the compiler's own launch stubs call
#endif
#elif defined(__CUDACC__)
#define ATOM_GPU_AMD 0
#define ATOM_GPU_NVIDIA 1
#define ATOM_DEVICE __device__ __forceinline__
#else
#define ATOM_GPU_AMD 0
#define ATOM_GPU_NVIDIA 0
#define ATOM_DEVICE inline
#endif
#if ATOM_GPU_AMD || ATOM_GPU_NVIDIA
#define ATOM_UNROLL _Pragma("unroll")  // in front of a loop whose arrays must stay in registers
#else
#define ATOM_UNROLL
#endif
#define ATOM_GPU_EMULATED (!ATOM_GPU_AMD && !ATOM_GPU_NVIDIA)

// Kernel sources end with one of these for each key that they provide; it stands for every backend of the compiler at work.
#if ATOM_GPU_EMULATED
#define ATOM_GPU_KERNEL(...)                              \
  template struct atom::impl<__VA_ARGS__, atom::Emu<32>>; \
  template struct atom::impl<__VA_ARGS__, atom::Emu<64>>
#include "atom/gpu/emu.hpp"
#else
#define ATOM_GPU_KERNEL(...) template struct atom::impl<__VA_ARGS__, atom::Hip>
#endif

namespace atom::gpu {

/// N neighbours of a row, loaded and stored at once: 1, 2, 4, 8 or 16 bytes.
template <class T, int N> struct vec { T v[N]; };

/// The machine word of that many bytes.
template <std::size_t Bytes> struct word;
#if ATOM_GPU_AMD
template <> struct word<1> { using type = std::uint8_t; };
template <> struct word<2> { using type = std::uint16_t; };
template <> struct word<4> { using type = std::uint32_t; };
template <> struct word<8> { using type = std::uint32_t __attribute__((ext_vector_type(2))); };
template <> struct word<16> { using type = std::uint32_t __attribute__((ext_vector_type(4))); };
#elif ATOM_GPU_NVIDIA
template <> struct word<1> { using type = unsigned char; };
template <> struct word<2> { using type = unsigned short; };
template <> struct word<4> { using type = unsigned; };
template <> struct word<8> { using type = uint2; };
template <> struct word<16> { using type = uint4; };
#endif

/// p[0 .. N), aligned to the size of the whole.
template <int N, class T> ATOM_DEVICE vec<T, N> load(const T* p) {
#if ATOM_GPU_EMULATED
  emu::check_aligned(p, sizeof(vec<T, N>));
  vec<T, N> r;
  std::memcpy(static_cast<void*>(&r), p, sizeof r);
  return r;
#else
  return std::bit_cast<vec<T, N>>(*reinterpret_cast<const typename word<sizeof(T) * N>::type*>(p));
#endif
}

/// The same for data that is read once: it should not displace anything from the caches.
template <int N, class T> ATOM_DEVICE vec<T, N> load_once(const T* p) {
#if ATOM_GPU_EMULATED
  return load<N>(p);
#elif ATOM_GPU_AMD
  return std::bit_cast<vec<T, N>>(__builtin_nontemporal_load(reinterpret_cast<const typename word<sizeof(T) * N>::type*>(p)));
#else
  return std::bit_cast<vec<T, N>>(__ldcs(reinterpret_cast<const typename word<sizeof(T) * N>::type*>(p)));
#endif
}

template <int N, class T> ATOM_DEVICE void store(T* p, const vec<T, N>& v) {
#if ATOM_GPU_EMULATED
  emu::check_aligned(p, sizeof v);
  std::memcpy(static_cast<void*>(p), &v, sizeof v);
#else
  *reinterpret_cast<typename word<sizeof(T) * N>::type*>(p) = std::bit_cast<typename word<sizeof(T) * N>::type>(v);
#endif
}

/// p[0 .. N) of which the first `valid` exist; zeros behind them.
template <int N, class T> ATOM_DEVICE vec<T, N> load_some(const T* p, int valid) {
  vec<T, N> r{};
  ATOM_UNROLL for (int i = 0; i < N; ++i) if (i < valid) r.v[i] = p[i];
  return r;
}

/// Whether rows beginning at p, `stride` elements apart, can be read in vectors of N.
template <int N, class T> constexpr bool vectors(const T* p, int stride) {
  return std::bit_cast<std::uintptr_t>(p) % (sizeof(T) * N) == 0 && stride % N == 0;
}

#if ATOM_GPU_AMD
ATOM_DEVICE float exp(float x) { return __builtin_expf(x); }
ATOM_DEVICE float exp2(float x) { return __builtin_exp2f(x); }
#if __has_builtin(__builtin_amdgcn_exp2f)
ATOM_DEVICE float fast_exp2(float x) { return __builtin_amdgcn_exp2f(x); }
#else  // clang 15
ATOM_DEVICE float fast_exp2(float x) { return __builtin_exp2f(x); }
#endif
ATOM_DEVICE float log(float x) { return __builtin_logf(x); }
ATOM_DEVICE float sqrt(float x) { return __builtin_sqrtf(x); }
ATOM_DEVICE float rint(float x) { return __builtin_rintf(x); }
ATOM_DEVICE float abs(float x) { return __builtin_fabsf(x); }
ATOM_DEVICE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
ATOM_DEVICE float max(float a, float b) { return __builtin_fmaxf(a, b); }
ATOM_DEVICE float min(float a, float b) { return __builtin_fminf(a, b); }
#else
ATOM_DEVICE float exp(float x) { return ::expf(x); }
ATOM_DEVICE float exp2(float x) { return ::exp2f(x); }
/// To two units in the last place; what is below the normal numbers may be zero.
ATOM_DEVICE float fast_exp2(float x) {
#if ATOM_GPU_NVIDIA
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return ::exp2f(x);
#endif
}
ATOM_DEVICE float log(float x) { return ::logf(x); }
ATOM_DEVICE float sqrt(float x) { return ::sqrtf(x); }
ATOM_DEVICE float rint(float x) { return ::rintf(x); }
ATOM_DEVICE float abs(float x) { return ::fabsf(x); }
ATOM_DEVICE float fma(float a, float b, float c) { return ::fmaf(a, b, c); }
ATOM_DEVICE float max(float a, float b) { return ::fmaxf(a, b); }
ATOM_DEVICE float min(float a, float b) { return ::fminf(a, b); }
#endif
constexpr int min(int a, int b) { return a < b ? a : b; }
constexpr int max(int a, int b) { return a > b ? a : b; }
constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }

/// The lowest bit that is set; there must be one. (nvcc 13 makes std::countr_zero the constant 64 in device code.)
ATOM_DEVICE int lowest_bit(std::uint64_t bits) {
#if ATOM_GPU_NVIDIA
  return __ffsll(static_cast<long long>(bits)) - 1;
#else
  return __builtin_ctzll(bits);
#endif
}
/// How many bits are set.
ATOM_DEVICE int count_bits(std::uint64_t bits) {
#if ATOM_GPU_NVIDIA
  return __popcll(bits);
#else
  return __builtin_popcountll(bits);
#endif
}

/// p, which came out of memory and points to memory of the device: AMD has other instructions where it could be shared memory.
template <class T> ATOM_DEVICE T* global(T* p) {
#if ATOM_GPU_AMD
  return (T*)(__attribute__((address_space(1))) T*)std::bit_cast<std::uintptr_t>(p);
#else
  return p;
#endif
}

/// x, and what follows from it is worked out anew: addresses that the compiler would otherwise prepare in front of a loop, and hold
/// in registers that the loop needs.
ATOM_DEVICE int anew(int x) {
#if ATOM_GPU_AMD
  asm volatile("" : "+v"(x));
#elif ATOM_GPU_NVIDIA
  asm volatile("" : "+r"(x));
#endif
  return x;
}

/// Blocks of a launch.
struct Grid {
  int x = 1, y = 1;
};

/// Lanes in a wave of the machine that this is compiled for, or of the emulator.
template <class Backend> inline constexpr int wave_of = ATOM_GPU_AMD ? 64 : 32;
template <int W> inline constexpr int wave_of<Emu<W>> = W;

/// Blocks of a cluster, neighbours along x: a kernel's member `cluster` says how many, else one.
template <class K> inline constexpr int cluster_of = 1;
template <class K>
requires requires { K::cluster; }
inline constexpr int cluster_of<K> = K::cluster;

#if ATOM_GPU_EMULATED

template <class K, class Backend, class Args> void launch(typename Backend::stream machine, Grid grid, const Args& a) noexcept {
  machine->template run<K, Backend::wave>(grid.x, grid.y, cluster_of<K>, a);
}
/// Blocks of a kernel that the machine runs at once.
template <class K, class Backend, class Args> int blocks_at_once() noexcept { return 3; }

#else

/// Bytes of shared memory that a launch must ask for: NVIDIA grants 48 KiB to whoever does not.
template <class S> inline constexpr std::size_t asked_for = ATOM_GPU_NVIDIA && sizeof(S) > 48 * 1024 ? sizeof(S) : 0;

/// Asks the runtime to launch (src/gpu/runtime.cpp). Errors are kept and reported by check_launches().
void launch_kernel(Hip::stream stream, const void* kernel, int blocks_x, int blocks_y, int cluster, int threads, std::size_t shared,
                   void* args) noexcept;
/// Before the first launch of a kernel, which asks for so much shared memory; cached: it gains more from a larger cache.
bool prepare_kernel(const void* kernel, std::size_t shared, bool cached) noexcept;
/// Blocks of it that the device runs at once.
int resident_blocks(const void* kernel, int threads, std::size_t shared) noexcept;

/// One block of N threads.
template <int N> struct Cta {
#if ATOM_GPU_AMD
  static constexpr int wave = 64;  // CDNA
#else
  static constexpr int wave = 32;
#endif
  static constexpr int threads() { return N; }
  static constexpr int waves() { return N / wave; }
#if ATOM_GPU_AMD
  ATOM_DEVICE static int thread() { return static_cast<int>(__builtin_amdgcn_workitem_id_x()); }
  ATOM_DEVICE static int block_x() { return static_cast<int>(__builtin_amdgcn_workgroup_id_x()); }
  ATOM_DEVICE static int block_y() { return static_cast<int>(__builtin_amdgcn_workgroup_id_y()); }
#else
  ATOM_DEVICE static int thread() {
    __builtin_assume(threadIdx.x < N);  // no sign: what is derived from it is masks and shifts
    return static_cast<int>(threadIdx.x);
  }
  ATOM_DEVICE static int block_x() { return static_cast<int>(blockIdx.x); }
  ATOM_DEVICE static int block_y() { return static_cast<int>(blockIdx.y); }
#endif
  ATOM_DEVICE static int lane() { return static_cast<int>(static_cast<unsigned>(thread()) % wave); }
  ATOM_DEVICE static int wave_id() { return static_cast<int>(static_cast<unsigned>(thread()) / wave); }

  /// Waits for the whole block; what its threads wrote to memory is then visible to all of them.
  ATOM_DEVICE void sync() const {
#if ATOM_GPU_AMD
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
    __builtin_amdgcn_s_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
#else
    __syncthreads();
#endif
  }
  /// The same for the wave.
  ATOM_DEVICE void wave_sync() const {
#if ATOM_GPU_AMD
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "wavefront");
    __builtin_amdgcn_wave_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "wavefront");
#else
    __syncwarp();
#endif
  }
  /// The block's shared memory. One type per kernel.
  template <class S> ATOM_DEVICE S& shared() const {
#if ATOM_GPU_AMD
    static_assert(sizeof(S) <= 64 * 1024, "atom: more shared memory than a block of CDNA has");
    __attribute__((shared, aligned(16))) static unsigned char bytes[sizeof(S)];
    return *reinterpret_cast<S*>(bytes);
#else
    if constexpr (asked_for<S> == 0) {
      __shared__ __align__(16) unsigned char bytes[sizeof(S)];
      return *reinterpret_cast<S*>(bytes);
    } else {
      extern __shared__ __align__(1024) unsigned char more[];
      return *reinterpret_cast<S*>(more);
    }
#endif
  }
  /// v of lane `from`. All lanes of the wave must arrive; a shuffle orders no memory.
  template <class T> ATOM_DEVICE T shfl(T v, int from) const {
    static_assert(sizeof(T) == 4);
#if ATOM_GPU_AMD
    return std::bit_cast<T>(__builtin_amdgcn_ds_bpermute(from * 4, std::bit_cast<int>(v)));
#else
    return std::bit_cast<T>(__shfl_sync(~0u, std::bit_cast<int>(v), from));
#endif
  }
  template <class T> ATOM_DEVICE T shfl_xor(T v, int mask) const {
#if ATOM_GPU_AMD
    return shfl(v, lane() ^ mask);
#else
    static_assert(sizeof(T) == 4);
    return std::bit_cast<T>(__shfl_xor_sync(~0u, std::bit_cast<int>(v), mask));
#endif
  }
  /// Bit i: whether lane i says yes.
  ATOM_DEVICE std::uint64_t ballot(bool yes) const {
#if ATOM_GPU_AMD
    return __builtin_amdgcn_uicmp(static_cast<unsigned>(yes), 0u, 33 /* != */);
#else
    return __ballot_sync(~0u, yes);
#endif
  }
  /// What this thread wrote before is seen by every thread of the device that sees something it writes behind it; the reader needs
  /// one too, between what it saw and what it reads.
  ATOM_DEVICE void device_fence() const {
#if ATOM_GPU_AMD
    __builtin_amdgcn_fence(__ATOMIC_ACQ_REL, "agent");
#else
    asm volatile("fence.acq_rel.gpu;" ::: "memory");  // __threadfence() is sequentially consistent, and slower
#endif
  }
  /// Waits until all kernels in front of this one on its stream are done, where a device lets a kernel begin before that.
  ATOM_DEVICE void after_previous() const {
#if ATOM_GPU_NVIDIA && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
  }
#if ATOM_GPU_NVIDIA && __CUDA_ARCH__ >= 900
  /// Says that this thread has come so far; cluster_wait() waits until all of the cluster's have. Once in a kernel: all call both.
  ATOM_DEVICE void cluster_arrive() const { asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory"); }
  ATOM_DEVICE void cluster_wait() const { asm volatile("barrier.cluster.wait.aligned;" ::: "memory"); }
#endif
  /// Adds to memory of the device; returns what was there. Relaxed.
  template <class T> ATOM_DEVICE T atomic_add(T* p, T v) const {
#if ATOM_GPU_AMD
    return __atomic_fetch_add(p, v, __ATOMIC_RELAXED);
#else
    if constexpr (std::is_same_v<T, std::uint64_t>)
      return atomicAdd(reinterpret_cast<unsigned long long*>(p), static_cast<unsigned long long>(v));
    else
      return atomicAdd(p, v);
#endif
  }
  /// Memory of the device keeps the larger of what it holds and v. Relaxed.
  ATOM_DEVICE void atomic_max(std::uint64_t* p, std::uint64_t v) const {
#if ATOM_GPU_AMD
    __hip_atomic_fetch_max(p, v, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);  // wider scopes may have no instruction for it
#else
    atomicMax(reinterpret_cast<unsigned long long*>(p), static_cast<unsigned long long>(v));
#endif
  }
};

/// Kernels with a member `starts_early` call after_previous() themselves, in every thread, and touch nothing in front of it that
/// another kernel of the stream writes; all others begin with it.
template <class K>
concept StartsEarly = requires {
  K::starts_early;
};

/// Kernels with a member `cached` read more than once what others read too.
template <class K>
concept Cached = requires {
  K::cached;
};

/// What the device runs.
template <class K, class Args>
#if ATOM_GPU_AMD
__attribute__((global, amdgpu_flat_work_group_size(K::threads(64), K::threads(64)))) void entry(const Args a) {
  Cta<K::threads(64)> cta;
#else
__global__ __launch_bounds__(K::threads(32)) void entry(const __grid_constant__ Args a) {
  Cta<K::threads(32)> cta;
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");  // the next kernel's blocks may come while this one's leave
#endif
#endif
  if constexpr (!StartsEarly<K>) cta.after_previous();
  K{}(cta, a);
}

template <class K, class Backend, class Args> void launch(Hip::stream stream, Grid grid, const Args& a) noexcept {
  if (grid.x == 0 || grid.y == 0) return;
  const auto kernel = reinterpret_cast<const void*>(&entry<K, Args>);
  constexpr std::size_t shared = asked_for<typename K::Shared>;
  static const bool ready = prepare_kernel(kernel, shared, Cached<K>);
  if (!ready) return;
  Args copy = a;
  launch_kernel(stream, kernel, grid.x, grid.y, cluster_of<K>, K::threads(wave_of<Backend>), shared, &copy);
}
template <class K, class Backend, class Args> int blocks_at_once() noexcept {
  static const int blocks = [] {
    const auto kernel = reinterpret_cast<const void*>(&entry<K, Args>);
    constexpr std::size_t shared = asked_for<typename K::Shared>;
    prepare_kernel(kernel, shared, Cached<K>);
    return resident_blocks(kernel, K::threads(wave_of<Backend>), shared);
  }();
  return blocks;
}

#endif

/// Every lane gets the wave's sum; the order is a tree over lanes.
template <class Cta> ATOM_DEVICE float wave_sum(Cta& cta, float v) {
  for (int m = Cta::wave / 2; m > 0; m /= 2) v += cta.shfl_xor(v, m);
  return v;
}
template <class Cta> ATOM_DEVICE float wave_max(Cta& cta, float v) {
  for (int m = Cta::wave / 2; m > 0; m /= 2) v = max(v, cta.shfl_xor(v, m));
  return v;
}

}  // namespace atom::gpu
