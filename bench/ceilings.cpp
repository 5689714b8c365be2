#include "ceilings.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <immintrin.h>
#include <new>
#include <sys/mman.h>

namespace atom::bench {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Best rate over `windows` runs of work(thread), each thread doing `amount`.
template <class Work> double best_rate(ThreadPool& pool, int windows, double amount, Work&& work) {
  double best = 0;
  for (int i = 0; i < windows; ++i) {
    std::atomic<int> started{0};
    const double begin = now();
    pool.parallel(pool.threads(), [&](int, int) {
      const int id = started++;  // chunk per thread: nobody may take two
      while (started.load() < pool.threads()) _mm_pause();
      work(id);
    });
    best = std::max(best, amount * pool.threads() / (now() - begin));
  }
  return best;
}

// XOR of everything, so that no load can be left out. Eight streams, 128 bytes of each in turn: more lines in flight than one
// stream gets, which is what decides.
__attribute__((target("avx2"), noinline)) std::uint64_t read_all(const char* p, std::size_t bytes) {
  constexpr std::size_t streams = 8, piece = 128, ahead = 1024;
  const std::size_t stream = bytes / streams / piece * piece;
  __m256i sum[4] = {};
  for (std::size_t at = 0; at < stream; at += piece)
    for (std::size_t s = 0; s < streams; ++s)
      for (std::size_t line = 0; line < piece; line += 64) {
        const char* q = p + s * stream + at + line;
        _mm_prefetch(q + ahead, _MM_HINT_T0);
        sum[line / 32] = _mm256_xor_si256(sum[line / 32], _mm256_load_si256(reinterpret_cast<const __m256i*>(q)));
        sum[line / 32 + 1] = _mm256_xor_si256(sum[line / 32 + 1], _mm256_load_si256(reinterpret_cast<const __m256i*>(q + 32)));
      }
  const __m256i all = _mm256_xor_si256(_mm256_xor_si256(sum[0], sum[1]), _mm256_xor_si256(sum[2], sum[3]));
  return static_cast<std::uint64_t>(_mm256_extract_epi64(all, 0));
}

// 14 independent chains; operands in registers of their own.
void fma256(std::uint64_t n) {
  asm volatile(
      "vxorps %%xmm0, %%xmm0, %%xmm0\n vxorps %%xmm1, %%xmm1, %%xmm1\n"
      "1: .irp r,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n vfmadd231ps %%ymm0, %%ymm1, %%ymm\\r\n .endr\n"
      "dec %0\n jnz 1b\n vzeroupper"
      : "+r"(n)
      :
      : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
        "xmm14", "xmm15");
}
template <Unit U> void zmm_loop(std::uint64_t n) {
  asm volatile("vpxord %%zmm16, %%zmm16, %%zmm16\n vpxord %%zmm17, %%zmm17, %%zmm17" : : : "memory");
  if constexpr (U == Unit::fma512)
    asm volatile(
        "1: .irp r,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n vfmadd231ps %%zmm16, %%zmm17, %%zmm\\r\n .endr\n dec %0\n jnz 1b"
        : "+r"(n)
        :
        : "cc");
  else if constexpr (U == Unit::bf16_dot)
    asm volatile(
        "1: .irp r,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n vdpbf16ps %%zmm16, %%zmm17, %%zmm\\r\n .endr\n dec %0\n jnz 1b"
        : "+r"(n)
        :
        : "cc");
  else
    asm volatile(
        "1: .irp r,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n vpdpbusd %%zmm16, %%zmm17, %%zmm\\r\n .endr\n dec %0\n jnz 1b"
        : "+r"(n)
        :
        : "cc");
}
template <Unit U> void tile_loop(std::uint64_t n) {
  struct alignas(64) Config {
    std::uint8_t palette = 1, start = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } const config;
  alignas(64) static const auto values = [] {
    struct Tile {
      char bytes[1024];
    } tile;
    fill(tile.bytes, sizeof tile.bytes);
    return tile;
  }();
  asm volatile(
      "ldtilecfg (%0)\n tilezero %%tmm0\n tilezero %%tmm1\n tilezero %%tmm2\n tilezero %%tmm3\n"
      "tileloadd (%1,%2,1), %%tmm4\n tileloadd (%1,%2,1), %%tmm5\n tileloadd (%1,%2,1), %%tmm6\n tileloadd (%1,%2,1), %%tmm7"
      :
      : "r"(&config), "r"(values.bytes), "r"(64L)
      : "memory");
  if constexpr (U == Unit::amx_bf16)
    asm volatile(
        "1: .rept 4\n tdpbf16ps %%tmm6, %%tmm4, %%tmm0\n tdpbf16ps %%tmm7, %%tmm4, %%tmm1\n tdpbf16ps %%tmm6, %%tmm5, %%tmm2\n"
        "tdpbf16ps %%tmm7, %%tmm5, %%tmm3\n .endr\n dec %0\n jnz 1b"
        : "+r"(n)
        :
        : "cc");
  else
    asm volatile(
        "1: .rept 4\n tdpbssd %%tmm6, %%tmm4, %%tmm0\n tdpbssd %%tmm7, %%tmm4, %%tmm1\n tdpbssd %%tmm6, %%tmm5, %%tmm2\n"
        "tdpbssd %%tmm7, %%tmm5, %%tmm3\n .endr\n dec %0\n jnz 1b"
        : "+r"(n)
        :
        : "cc");
  asm volatile("tilerelease");
}

}  // namespace

void fill(void* memory, std::size_t bytes) {
  std::uint64_t x = 0x9e3779b97f4a7c15u;
  auto* words = static_cast<std::uint64_t*>(memory);
  for (std::size_t i = 0; i < bytes / 8; ++i) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    words[i] = (x & 0x80ff80ff80ff80ffu) | 0x3e803e803e803e80u;
  }
}

char* operands(std::size_t bytes) {
  auto* p = static_cast<char*>(::operator new (bytes, std::align_val_t{std::size_t{2} << 20}));
  madvise(p, bytes, MADV_HUGEPAGE);
  fill(p, bytes);
  return p;
}

double read_bandwidth(ThreadPool& pool, const void* memory, std::size_t bytes) {
  const std::size_t each = bytes / static_cast<std::size_t>(pool.threads());
  std::atomic<std::uint64_t> sink{0};
  return best_rate(pool, 6, static_cast<double>(each) * 1e-9, [&](int id) {
    sink += read_all(static_cast<const char*>(memory) + each / 1024 * 1024 * static_cast<std::size_t>(id), each);
  });
}

double peak(ThreadPool& pool, Unit unit) {
  constexpr std::uint64_t n = 100'000;
  const auto rate = [&](double per_turn, void (*loop)(std::uint64_t), std::uint64_t turns) {
    return best_rate(pool, 12, per_turn * static_cast<double>(turns) * 1e-9, [&](int) { loop(turns); });
  };
  switch (unit) {
    case Unit::fma256: return rate(14 * 16, fma256, n);
    case Unit::fma512: return rate(14 * 32, zmm_loop<Unit::fma512>, n);
    case Unit::bf16_dot: return rate(14 * 64, zmm_loop<Unit::bf16_dot>, n);
    case Unit::int8_dot: return rate(14 * 128, zmm_loop<Unit::int8_dot>, n);
    case Unit::amx_bf16: return rate(16 * 16384.0, tile_loop<Unit::amx_bf16>, n / 20);
    case Unit::amx_int8: return rate(16 * 32768.0, tile_loop<Unit::amx_int8>, n / 20);
  }
  return 0;
}

}  // namespace atom::bench
