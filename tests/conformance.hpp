#pragma once
// The conformance harness: any kernel of any backend against Ref, through the same door a model uses.
// A test fills args with deterministic noise, runs run_on<Op, B> and run_on<Op, Ref>, and compares with a stated tolerance.
#include <cmath>
#include <gtest/gtest.h>
#include <vector>

#include "atom/core/backend.hpp"
#include "atom/core/run.hpp"

#include "noise.hpp"

namespace atom::test {

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

}  // namespace atom::test
