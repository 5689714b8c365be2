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

/// Which bucket, as a whole number in float; negative above the window. NaN belongs to the last.
template <class Level> typename Simd<Level>::V bucket_of(typename Simd<Level>::V x, const LogitWindow& w) {
  using S = Simd<Level>;
  return S::floor(S::min((S::set(w.high) - x) * S::set(w.per_unit) - S::set(w.offset), S::set(logit_buckets - 1)));
}

template <class Level> void Sampling<Level>::weigh(const float* x, int n, float high, float temperature, float* weight) {
  using S = Simd<Level>;
  each<Level>(n, [&](int i, auto lanes) {
    S::store(weight + i, exp<Level>((S::load(x + i, lanes) - S::set(high)) / S::set(temperature)), lanes);
  });
}

template <class Level>
void Sampling<Level>::fill(const float* x, const float* weight, int n, const LogitWindow& window, LogitBuckets& buckets) {
  using S = Simd<Level>;
  constexpr int rest = logit_buckets - 1;
  for (int b = 0; b < logit_buckets; ++b) buckets.mass[b] = 0, buckets.count[b] = 0;
  constexpr int block = 64 * S::width;  // as many floats as a lane adds up before a double takes over
  for (int begin = 0; begin < n; begin += block) {
    const int count = n - begin < block ? n - begin : block;
    auto rest_mass = S::zero();
    int rest_count = 0;
    each<Level>(count, [&](int i, auto lanes) {
      const unsigned valid = count - i < S::width ? (1u << (count - i)) - 1 : ~0u;
      const auto bucket = bucket_of<Level>(S::load(x + begin + i, lanes), window), w = S::load(weight + begin + i, lanes);
      const unsigned below = S::at_least(bucket, S::set(rest)) & valid, inside = S::at_least(bucket, S::zero()) & valid & ~below;
      rest_mass = rest_mass + S::if_at_least(bucket, S::set(rest), w, S::zero());
      rest_count += __builtin_popcount(below);
      if (inside == 0) return;
      alignas(64) float at[S::width], mass[S::width];
      S::store(at, bucket);
      S::store(mass, w);
      for (unsigned hits = inside; hits != 0; hits &= hits - 1) {
        const int lane = __builtin_ctz(hits), b = static_cast<int>(at[lane]);
        buckets.mass[b] += static_cast<double>(mass[lane]);
        ++buckets.count[b];
      }
    });
    buckets.mass[rest] += static_cast<double>(S::sum(rest_mass));
    buckets.count[rest] += rest_count;
  }
}

template <class Level> int Sampling<Level>::members(const float* x, int n, const LogitWindow& window, int bucket, int* ids) {
  using S = Simd<Level>;
  const auto wanted = S::set(static_cast<float>(bucket));
  int found = 0;
  each<Level>(n, [&](int i, auto lanes) {
    unsigned hits = S::equal(bucket_of<Level>(S::load(x + i, lanes), window), wanted);
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
