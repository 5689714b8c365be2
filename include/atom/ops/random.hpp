#pragma once
// Counter-based random numbers: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11).
// One idea: a draw is a pure function of (seed, counter); there is no generator state to share, save or lose.
#include <cstdint>

namespace atom {

struct Philox {
  std::uint32_t v[4];

  static constexpr Philox draw(std::uint64_t seed, std::uint64_t counter) {
    std::uint32_t c[4] = {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), 0, 0};
    std::uint32_t k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
      const std::uint64_t a = std::uint64_t{0xD2511F53u} * c[0], b = std::uint64_t{0xCD9E8D57u} * c[2];
      const std::uint32_t next[4] = {static_cast<std::uint32_t>(b >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(b),
                                     static_cast<std::uint32_t>(a >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(a)};
      for (int i = 0; i < 4; ++i) c[i] = next[i];
    }
    return {{c[0], c[1], c[2], c[3]}};
  }
};

/// In [0, 1), 24 random bits: every value is exact in float.
constexpr float uniform(std::uint64_t seed, std::uint64_t counter) {
  return static_cast<float>(Philox::draw(seed, counter).v[0] >> 8) * 0x1p-24f;
}

}  // namespace atom
