#pragma once
// The sampling passes of one level.
#include "sampling.hpp"
#include "simd.hpp"

namespace atom::cpu {

template <class Level> void Sampling<Level>::extremes(const float* x, int n, float* low, float* high) {
  using S = Simd<Level>;
  const float infinity = __builtin_inff();
  auto least = S::set(infinity), most = S::set(-infinity);
  int i = 0;
  for (; i + S::width <= n; i += S::width) {
    const auto v = S::load(x + i);
    least = S::min(v, least);
    most = S::max(v, most);
  }
  *low = -S::largest(S::zero() - least);
  *high = S::largest(most);
  for (; i < n; ++i) {
    if (x[i] < *low) *low = x[i];
    if (x[i] > *high) *high = x[i];
  }
}

template <class Level> int Sampling<Level>::find(const float* x, int n, float value) {
  using S = Simd<Level>;
  int i = 0;
  for (; i + S::width <= n; i += S::width)
    if (const unsigned hits = S::equal(S::load(x + i), S::set(value))) return i + __builtin_ctz(hits);
  for (; i < n; ++i)
    if (!(x[i] < value) && !(x[i] > value)) return i;
  return 0;
}

/// Which bucket, as a whole number in float; NaN belongs to the last.
template <class Level> typename Simd<Level>::V bucket_of(typename Simd<Level>::V x, float high, float per_unit) {
  using S = Simd<Level>;
  return S::floor(S::min((S::set(high) - x) * S::set(per_unit), S::set(logit_buckets - 1)));
}

template <class Level>
void Sampling<Level>::weigh(const float* x, int n, float high, float temperature, float per_unit, float* weight,
                            LogitBuckets& buckets) {
  using S = Simd<Level>;
  for (int b = 0; b < logit_buckets; ++b) buckets.mass[b] = 0, buckets.count[b] = 0;
  each<Level>(n, [&](int i, auto lanes) {
    const auto v = S::load(x + i, lanes);
    alignas(64) float w[S::width], b[S::width];
    S::store(w, exp<Level>((v - S::set(high)) / S::set(temperature)));
    S::store(b, bucket_of<Level>(v, high, per_unit));
    S::store(weight + i, S::load(w), lanes);
    const int count = n - i < S::width ? n - i : S::width;
    for (int j = 0; j < count; ++j) {
      const int bucket = static_cast<int>(b[j]);
      buckets.mass[bucket] += static_cast<double>(w[j]);
      ++buckets.count[bucket];
    }
  });
}

template <class Level> int Sampling<Level>::members(const float* x, int n, float high, float per_unit, int bucket, int* ids) {
  using S = Simd<Level>;
  const auto wanted = S::set(static_cast<float>(bucket));
  int found = 0;
  each<Level>(n, [&](int i, auto lanes) {
    unsigned hits = S::equal(bucket_of<Level>(S::load(x + i, lanes), high, per_unit), wanted);
    for (; hits != 0; hits &= hits - 1) {
      const int id = i + __builtin_ctz(hits);
      if (id < n) ids[found++] = id;
    }
  });
  return found;
}

template <class Level> int Sampling<Level>::count_at_least(const float* x, int n, float bound) {
  using S = Simd<Level>;
  int count = 0, i = 0;
  for (; i + S::width <= n; i += S::width) count += __builtin_popcount(S::at_least(S::load(x + i), S::set(bound)));
  for (; i < n; ++i) count += x[i] >= bound;
  return count;
}

}  // namespace atom::cpu
