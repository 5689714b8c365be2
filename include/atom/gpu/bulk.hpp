#pragma once
// Copies of whole tiles that one thread asks for, and what waits for them: tensor maps and mbarriers of Hopper, and the emulator's.
// One idea: a phase of `arrivals` is over when so many threads have arrived and all bytes that they announced have come. A ring of
// stages has two for each stage: its tile is here; its tile is read. Blocks of a cluster send each other sums in the same way.
// AMD has none of this: kernels that need it run where gpu::streamed says so (atom/ops/linear_gpu.hpp).
// To extend: another kind of copy is a function here, with its landing rule in the emulator.
#include "atom/gpu/shared.hpp"

#if !ATOM_GPU_AMD
namespace atom::gpu {

/// What a copy of tiles must know of a bf16 matrix: (rows, in), rows `stride` elements apart, in tiles of `tile` rows and 64
/// columns. The host makes it; it travels among a kernel's arguments.
#if ATOM_GPU_EMULATED
struct TileMap {
  static constexpr int cols = 64;
  const bf16* p;
  int rows, in, stride;
};
inline TileMap map_tiles(const bf16* p, int rows, int in, int stride, int) noexcept { return {p, rows, in, stride}; }
#else
struct alignas(64) TileMap {
  static constexpr int cols = 64;
  std::uint64_t words[16];
};
/// The driver's words (src/gpu/runtime.cpp). What it refuses stays zero, and is an error of the device to whoever copies by it.
void map_tiles(std::uint64_t (&words)[16], const void* p, int rows, int in, int stride, int tile) noexcept;
inline TileMap map_tiles(const bf16* p, int rows, int in, int stride, int tile) noexcept {
  TileMap map{};
  map_tiles(map.words, p, rows, in, stride, tile);
  return map;
}
#endif

/// In shared memory. One thread calls begin(), then all of the block share_arrivals().
class arrivals {
 public:
#if ATOM_GPU_EMULATED
  using Site = emu::Site;
  void begin(int threads) { emu::begin(state_, threads); }
  void arrive(Site s = Site::current()) { emu::arrive(state_, 0, s); }
  /// Arrives, and the phase waits for so many bytes as well.
  void expect(int bytes, Site s = Site::current()) { emu::arrive(state_, bytes, s); }
  /// Until the phase that is the parity-th modulo 2 is over.
  void wait(int parity, Site s = Site::current()) { emu::await(state_, parity, s); }
  emu::Arrivals& state() { return state_; }

 private:
  emu::Arrivals state_;
#else
  ATOM_DEVICE void begin(int threads) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(at()), "r"(threads) : "memory");
  }
  ATOM_DEVICE void arrive() { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(at()) : "memory"); }
  ATOM_DEVICE void expect(int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(at()), "r"(bytes) : "memory");
  }
  ATOM_DEVICE void wait(int parity) {
    unsigned over;
    do {
      asm volatile("{.reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p;}"
                   : "=r"(over)
                   : "r"(at()), "r"(parity)
                   : "memory");
    } while (!over);
  }
  ATOM_DEVICE unsigned at() const { return static_cast<unsigned>(__cvta_generic_to_shared(&state_)); }

 private:
  std::uint64_t state_;
#endif
};

/// What one thread began, all of the block and of its cluster may use. All threads must arrive.
template <class Cta> ATOM_DEVICE void share_arrivals(Cta& cta) {
#if ATOM_GPU_NVIDIA
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
  cta.sync();
}

/// to(r .. r + rows, 0 .. 64) = the map's tile whose first row is `row`, and first column `col`; zeros where the matrix ends. Part
/// of a phase of `by`: rows * 128 bytes; `rows` are those of the map's tiles. `to` begins at a multiple of 1024 bytes, r is a
/// multiple of 8.
template <class S> ATOM_DEVICE void copy_tile(S& to, int r, const TileMap& from, int rows, int row, int col, arrivals& by) {
  static_assert(S::cols() == TileMap::cols);
#if ATOM_GPU_EMULATED
  emu::check_index(r + rows - 1, 0, 1, S::rows(), S::cols(), emu::Site::current());
  for (int i = 0; i < rows; ++i)
    for (int c = 0; c < TileMap::cols; c += 8) {
      const bool exists = row + i < from.rows && col + c < from.in;
      emu::copy_bulk(to.place_of(r + i, c), exists ? from.p + std::ptrdiff_t{row + i} * from.stride + col + c : nullptr, exists,
                     sizeof(bf16), by.state(), emu::Site::current());
    }
#else
  const auto at = static_cast<unsigned>(__cvta_generic_to_shared(to.place_of(r, 0)));
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(at),
               "l"(&from), "r"(col), "r"(row), "r"(by.at())
               : "memory");
#endif
}

/// v to to(r, 0 .. 4) of another block of the cluster; part of a phase of its `by`: 16 bytes.
template <class S> ATOM_DEVICE void send(int block, S& to, int r, const vec<float, 4>& v, arrivals& by) {
#if ATOM_GPU_EMULATED
  emu::check_index(r, 0, 4, S::rows(), S::cols(), emu::Site::current());
  emu::send(block, to.place_of(r, 0), &v, sizeof(float), by.state(), emu::Site::current());
#else
  const auto there = [&](unsigned here) {
    unsigned at;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(at) : "r"(here), "r"(block));
    return at;
  };
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(
                   there(static_cast<unsigned>(__cvta_generic_to_shared(to.place_of(r, 0))))),
               "f"(v.v[0]), "f"(v.v[1]), "f"(v.v[2]), "f"(v.v[3]), "r"(there(by.at()))
               : "memory");
#endif
}

}  // namespace atom::gpu
#endif
