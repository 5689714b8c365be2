#pragma once
// The Mma of levels without tiles (attention_prefill.hpp): everything in float, registers blocked over two vectors of queries.
#include "attention_prefill.hpp"

namespace atom::cpu {

template <class Level, class T, class Kv> struct VectorMma {
  using S = Simd<Level>;
  using V = typename S::V;
  using Task = AttentionTask<T, Kv>;
  using Query = float;        // (d, L) per tile
  using Keys = float;         // (tokens, d)
  using Values = float;       // (tokens, d)
  using Probability = float;  // (tokens, L)
  static constexpr int W = S::width, L = 2 * W, token_step = 16;
  static constexpr int block = W == 16 ? 8 : 4;  // rows of a product held in registers, times two vectors

  static void pack_queries(const Task& a, int first, int n, Query* q) {
    const T* lanes[L];
    lane_pointers<Level>(a.q, a.ldq, a.d, a.group, first, n, lanes);
    alignas(64) float row[W];
    for (int i = 0; i < L; ++i) {
      for (int j = 0; j < a.d; j += W) {
        S::store(row, i < n ? S::load(lanes[i] + j) : S::zero());
        for (int k = 0; k < W; ++k) q[(j + k) * L + i] = row[k];
      }
    }
  }

  static void pack(const Task& a, int first, int n, Keys* keys, Values* values) {
    for (int t = 0; t < (n + token_step - 1) / token_step * token_step; ++t) {
      const int token = (first + t) % page, row = token * a.d;
      const auto* k = a.k + a.pages[(first + t) / page] * a.page_stride;
      const auto* v = a.v + a.pages[(first + t) / page] * a.page_stride;
      const V k_scale = S::set(scale_of<Level, Kv>(k, token, a.d)), v_scale = S::set(scale_of<Level, Kv>(v, token, a.d));
      for (int j = 0; j < a.d; j += W) {
        S::store(keys + t * a.d + j, t < n ? S::load(k + row + j) * k_scale : S::zero());
        S::store(values + t * a.d + j, t < n ? S::load(v + row + j) * v_scale : S::zero());
      }
    }
  }

  static void scores(const Task& a, const Query* q, const Keys* keys, int, int n, float* s, auto&&) {
    for (int t = 0; t < n; t += block) product(keys + t * a.d, a.d, 1, q, a.d, true, s + t * L);
  }

  static V exponential(V x) { return exp2<Level>(x); }

  static void put(Probability* p, int token, int half, V even, V odd) {
    S::store(p + token * L + half * W, even);
    S::store(p + (token + 1) * L + half * W, odd);
  }

  static void add(const Probability* p, const Values* values, int n, int d, bool fresh, float* o, auto&&) {
    for (int i = 0; i < d; i += block) product(values + i, 1, d, p, n, fresh, o + i * L);
  }

  static void put_rows(const Task& a, int first, int n, const float* o, const float* sum) {
    T* lanes[L];
    lane_pointers<Level>(a.o, a.ldo, a.d, a.group, first, n, lanes);
    alignas(64) float row[W];
    for (int i = 0; i < n; ++i)
      for (int j = 0; j < a.d; j += W) {
        for (int k = 0; k < W; ++k) row[k] = o[(j + k) * L + i];
        S::store(lanes[i] + j, S::load(row) / S::set(sum[i]));
      }
  }

 private:
  /// c[i][lane] (+)= sum over x < k of a[i * row + x * step] * b[x][lane], i < block.
  static void product(const float* a, int row, int step, const float* b, int k, bool fresh, float* c) {
    V sum[block][2];
    for (int i = 0; i < block; ++i)
      for (int h = 0; h < 2; ++h) sum[i][h] = fresh ? S::zero() : S::load(c + i * L + h * W);
    for (int x = 0; x < k; ++x) {
      const V b0 = S::load(b + x * L), b1 = S::load(b + x * L + W);
      const float* column = a + x * step;
      for (int i = 0; i < block; ++i) {
        const V factor = S::set(column[i * row]);
        sum[i][0] = S::fma(factor, b0, sum[i][0]);
        sum[i][1] = S::fma(factor, b1, sum[i][1]);
      }
    }
    for (int i = 0; i < block; ++i)
      for (int h = 0; h < 2; ++h) S::store(c + i * L + h * W, sum[i][h]);
  }
};

template <class Level, class T, class Kv> void Attention<Level, T, Kv>::prefill(const AttentionTask<T, Kv>& a, float* scratch) {
  prefill_block<Level, VectorMma<Level, T, Kv>>(a, scratch);
}

}  // namespace atom::cpu
