#pragma once
// Sampling of the Cpu backend: the passes over a row of logits that a level provides (sampling_rows.hpp has the text).
// One idea: a cut of the sorted order (top k, top p, min p, the drawn token) is found without sorting the row. Logits within a
// window below the largest fall into buckets of equal width; counts and masses say in which bucket a cut lies, and only that one
// is sorted. Most logits of a trained model lie below the first window and are only summed; a cut that lies there moves the window.
#include "levels.hpp"

namespace atom::cpu {

inline constexpr int logit_buckets = 1024;  // the last one takes what lies below the window

/// Logit x is in bucket (high - x) * per_unit - offset; above the window that is negative.
struct LogitWindow {
  float high, per_unit, offset;
};

struct LogitBuckets {
  double mass[logit_buckets];  // sum of weights
  int count[logit_buckets];
};

template <class Level> struct Sampling {
  /// Smallest and largest, NaN aside; +inf and -inf of nothing.
  static void extremes(const float* x, int n, float* low, float* high);
  /// The first i with x[i] == value, or 0.
  static int find(const float* x, int n, float value);
  /// weight[i] = e^((x[i] - high) / temperature).
  static void weigh(const float* x, int n, float high, float temperature, float* weight);
  /// Counts and sums weights of what is not above the window.
  static void fill(const float* x, const float* weight, int n, const LogitWindow& window, LogitBuckets& buckets);
  /// The ids in a bucket, ascending; returns how many.
  static int members(const float* x, int n, const LogitWindow& window, int bucket, int* ids);
  /// How many x[i] >= bound.
  static int count_at_least(const float* x, int n, float bound);
};

}  // namespace atom::cpu
