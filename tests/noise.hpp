#pragma once
// Deterministic data for tests and programs that compare kernels, and the unit in which they compare.
#include <cstring>
#include <random>
#include <vector>

#include "atom/core/dtype.hpp"

namespace atom::test {

/// n values of N(0, scale), rounded to T.
template <class T> std::vector<T> noise(std::size_t n, unsigned seed, float scale = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<T> v(n);
  for (auto& x : v) x = T(normal(generator));
  return v;
}

/// What rounding to T costs relative to the value: the unit of tolerance.
template <class T> inline constexpr float ulp = 0x1p-24f;
template <> inline constexpr float ulp<bf16> = 0x1p-8f;
template <> inline constexpr float ulp<fp16> = 0x1p-11f;

/// Bitwise equality of two buffers.
template <class T> bool identical(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

}  // namespace atom::test
