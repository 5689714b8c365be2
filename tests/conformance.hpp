#pragma once
// The conformance harness: any kernel of any backend against Ref, through the same door a model uses.
// A test fills args with deterministic noise, runs run_on<Op, B> and run_on<Op, Ref>, and compares with a stated tolerance.
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <random>
#include <vector>

#include "atom/core/backend.hpp"
#include "atom/core/run.hpp"

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

/// |got - want| <= absolute + relative * |want|, element by element; reports the worst offender.
template <class T>
testing::AssertionResult close(const std::vector<T>& got, const std::vector<T>& want, float absolute, float relative) {
  if (got.size() != want.size()) return testing::AssertionFailure() << "sizes " << got.size() << " and " << want.size();
  std::size_t worst = 0;
  float excess = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const auto g = static_cast<float>(got[i]), w = static_cast<float>(want[i]);
    const float over = std::isfinite(g) == std::isfinite(w) ? std::fabs(g - w) - absolute - relative * std::fabs(w) : INFINITY;
    if (over > excess) excess = over, worst = i;
  }
  if (excess <= 0) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "element " << worst << " of " << got.size() << ": got " << static_cast<float>(got[worst])
                                     << ", reference " << static_cast<float>(want[worst]);
}

/// Bitwise equality of two buffers.
template <class T> bool identical(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

}  // namespace atom::test
