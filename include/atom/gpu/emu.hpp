#pragma once
// A GPU on one CPU thread: every GPU thread is a fiber, and fibers switch only where a real machine synchronises.
// One idea: the first mistake stops the launch and stays in the machine as a sentence, fault(), as a sticky error does on a
// device. What it finds: a barrier or shuffle that not every thread reaches; shared memory that two threads touch with no barrier
// between, that nobody wrote, or outside an array; copies still in flight; arrivals that never come; misaligned vectors; results
// that depend on the order in which waves run (compare schedules). Blocks of a cluster run together, others one by one. Not
// modelled: weak memory order, protocols between clusters, registers, time.
// To extend: atom/gpu/port.hpp says how a member of Cta is added.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <source_location>
#include <string>
#include <vector>

namespace atom::gpu {
template <int W> struct Tile;
template <int W> struct FragIn;
template <int W> struct FragOut;
}  // namespace atom::gpu

namespace atom::gpu::emu {

using Site = std::source_location;
enum class Access : unsigned char { read, write, atomic, copy };

// What a thread of the kernel at work may ask (src/gpu/emu.cpp).
void sync_block(Site s);
void sync_wave(Site s);
/// All lanes of the wave bring `bytes` bytes; `combine`, if any, is called once, when the last has come, with all lanes' cells.
void exchange(const void* mine, std::size_t bytes, void (*combine)(void* cells), const char* what, Site s);
inline constexpr std::size_t cell_bytes = 64;
const void* cell(int lane);  ///< what that lane of this wave brought, until this thread's next-but-one exchange
void* shared_memory();
void touch(const void* p, std::size_t element, int count, Access how, Site s);
void check_index(int row, int col, int count, int rows, int cols, Site s);
void check_lane(int lane, int wave, Site s);
void check_aligned(const void* p, std::size_t bytes);
void copy_async(void* to, const void* from, bool exists);
void commit_copies();
void wait_copies(int groups);

/// In shared memory: threads and bytes that a phase waits for (gpu::arrivals).
struct Arrivals {
  int threads, missing, bytes, phase;
};
void begin(Arrivals& a, int threads);
void arrive(Arrivals& a, int bytes, Site s);
/// Until phase `parity` is over; copies and messages that it counted have then landed.
void await(Arrivals& a, int parity, Site s);
/// 16 bytes on their way to shared memory, part of a phase of `a`; zeros unless `exists`.
void copy_bulk(void* to, const void* from, bool exists, std::size_t element, Arrivals& a, Site s);
/// 16 bytes to the same place of another block's shared memory, part of a phase of its `a`.
void send(int block, void* to, const void* value, std::size_t element, Arrivals& a, Site s);
void arrive_at_cluster();
void await_cluster(Site s);

template <int W> struct Pair { FragIn<W> a, b; };
/// Gathers the operands that lanes brought through the map, multiplies, and leaves every lane its elements, through the map.
template <int W> void multiply(void* cells);

/// The block that a thread sees, as gpu::Cta on a device.
template <int W, int N> class Cta {
 public:
  static_assert(N % W == 0, "atom: a block is made of whole waves");
  static constexpr int wave = W;
  Cta(int thread, int x, int y) : thread_(thread), x_(x), y_(y) {}
  static constexpr int threads() { return N; }
  static constexpr int waves() { return N / W; }
  int thread() const { return thread_; }
  int block_x() const { return x_; }
  int block_y() const { return y_; }
  int lane() const { return thread_ % W; }
  int wave_id() const { return thread_ / W; }

  void sync(Site s = Site::current()) const { sync_block(s); }
  void wave_sync(Site s = Site::current()) const { emu::sync_wave(s); }
  template <class S> S& shared() const { return *static_cast<S*>(shared_memory()); }
  template <class T> T shfl(T v, int from, Site s = Site::current()) const {
    check_lane(from, W, s);
    exchange(&v, sizeof v, nullptr, "shuffle", s);
    return read<T>(from);
  }
  template <class T> T shfl_xor(T v, int mask, Site s = Site::current()) const { return shfl(v, lane() ^ mask, s); }
  std::uint64_t ballot(bool yes, Site s = Site::current()) const {
    exchange(&yes, sizeof yes, nullptr, "ballot", s);
    std::uint64_t all = 0;
    for (int l = 0; l < W; ++l) all |= std::uint64_t{read<bool>(l)} << l;
    return all;
  }
  void cluster_arrive() const { arrive_at_cluster(); }
  void cluster_wait(Site s = Site::current()) const { await_cluster(s); }
  void device_fence() const {}                        // one thread runs at a time
  void after_previous() const {}                      // kernels run one by one
  template <class T> T atomic_add(T* p, T v) const {  // one thread runs at a time
    const T before = *p;
    *p += v;
    return before;
  }
  void atomic_max(std::uint64_t* p, std::uint64_t v) const {
    if (*p < v) *p = v;
  }

  void mma(FragOut<W>& d, const FragIn<W>& a, const FragIn<W>& b, Site s = Site::current()) const {
    const Pair<W> mine{a, b};
    static_assert(sizeof mine <= cell_bytes && sizeof d <= cell_bytes);
    exchange(&mine, sizeof mine, multiply<W>, "mma", s);
    const auto product = read<FragOut<W>>(lane());
    for (int i = 0; i < Tile<W>::n; ++i) d.v[i] += product.v[i];
  }

 private:
  template <class T> static T read(int from) {
    T v;
    std::memcpy(static_cast<void*>(&v), cell(from), sizeof v);
    return v;
  }
  int thread_, x_, y_;
};

class Machine {
 public:
  /// Schedule 0: waves and lanes in order. Others: every choice of what runs next drawn from that seed.
  explicit Machine(unsigned schedule = 0);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  /// The first mistake since the last clear(), or empty. Launches after it do nothing.
  [[nodiscard]] const std::string& fault() const noexcept;
  void clear() noexcept;

  template <class K, int W, class Args> void run(int blocks_x, int blocks_y, int cluster, const Args& a) noexcept {
    constexpr int threads = K::threads(W);
    run_blocks({blocks_x, blocks_y, cluster, threads, W, sizeof(typename K::Shared), &a, sizeof a,
                [](const void* args, int thread, int x, int y) {
                  Cta<W, threads> cta(thread, x, y);
                  K{}(cta, *static_cast<const Args*>(args));
                }});
  }

  struct Launch {
    int blocks_x, blocks_y, cluster, threads, wave;
    std::size_t shared_bytes;
    const void* args;
    std::size_t args_bytes;
    void (*body)(const void* args, int thread, int x, int y);
  };

  /// Launches with their arguments, as a device's graph holds them.
  class Recording {
    friend Machine;
    struct Recorded {
      Launch launch;
      std::vector<std::byte> args;
    };
    std::vector<Recorded> launches_;
  };
  /// Until the next call, launches are added to `to` instead of run; null: they run.
  void record(Recording* to) noexcept { recording_ = to; }
  void replay(const Recording& what) noexcept;

  class State;

 private:
  void run_blocks(const Launch& l) noexcept;
  std::unique_ptr<State> state_;
  Recording* recording_ = nullptr;
};

}  // namespace atom::gpu::emu
