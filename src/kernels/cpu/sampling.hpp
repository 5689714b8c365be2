#pragma once
// Sampling of the Cpu backend: the passes over a row of logits that a level provides (sampling_rows.hpp has the text).
// One idea: a cut of the sorted order (top k, top p, min p, the drawn token) is found without sorting the row. Logits fall into
// buckets of equal width below the largest; counts and masses say in which bucket a cut lies, and only that one is sorted.
#include "levels.hpp"

namespace atom::cpu {

inline constexpr int logit_buckets = 1024;

struct LogitBuckets {
  double mass[logit_buckets];  // sum of weights
  int count[logit_buckets];
};

template <class Level> struct Sampling {
  /// Smallest and largest, NaN aside; +inf and -inf of nothing.
  static void extremes(const float* x, int n, float* low, float* high);
  /// The first i with x[i] == value, or 0.
  static int find(const float* x, int n, float value);
  /// weight[i] = e^((x[i] - high) / temperature), counted in bucket (high - x[i]) * per_unit, the last bucket taking the rest.
  static void weigh(const float* x, int n, float high, float temperature, float per_unit, float* weight, LogitBuckets& buckets);
  /// The ids in a bucket, ascending; returns how many.
  static int members(const float* x, int n, float high, float per_unit, int bucket, int* ids);
  /// How many x[i] >= bound.
  static int count_at_least(const float* x, int n, float bound);
};

}  // namespace atom::cpu
