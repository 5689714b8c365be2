#pragma once
// Reference: rope_pairs, latent_write and latent_attention, with the keys and values of every head made of every row.
#include <algorithm>
#include <cmath>

#include "atom/core/backend.hpp"
#include "atom/ops/mla_op.hpp"

namespace atom {

template <class T> struct impl<kernels::rope_pairs<T>, Ref> {
  static void run(Ref::stream, const typename kernels::rope_pairs<T>::args& a) noexcept {
    const int half = a.rotary_dim / 2;
    for (int r = 0; r < a.rows; ++r) {
      const float* cos = a.cos_sin + static_cast<std::ptrdiff_t>(a.positions[r]) * a.rotary_dim;
      for (int h = 0; h < a.heads; ++h) {
        T* x = a.x + static_cast<std::ptrdiff_t>(r) * a.ldx + static_cast<std::ptrdiff_t>(h) * a.ldh;
        for (int i = 0; i < half; ++i) {
          const auto even = static_cast<float>(x[2 * i]), odd = static_cast<float>(x[2 * i + 1]);
          x[2 * i] = T(even * cos[i] - odd * cos[half + i]);
          x[2 * i + 1] = T(odd * cos[i] + even * cos[half + i]);
        }
      }
    }
  }
};

template <class T, class Kv, int C, int R> struct impl<kernels::latent_write<T, Kv, C, R>, Ref> {
  static void run(Ref::stream, const typename kernels::latent_write<T, Kv, C, R>::args& a) noexcept {
    for (int r = 0; r < a.rows; ++r) {
      Kv* to = a.pages + kernels::LatentLayout<Kv, C + R>::at(a.slots[r]);
      for (int i = 0; i < C; ++i) to[i] = Kv(static_cast<float>(a.c[static_cast<std::ptrdiff_t>(r) * a.ldc + i]));
      for (int i = 0; i < R; ++i) to[C + i] = Kv(static_cast<float>(a.k_pe[static_cast<std::ptrdiff_t>(r) * a.ldk + i]));
    }
  }
};

template <class Q, class T, class Kv, int C, int R, int N, int V>
struct impl<kernels::latent_attention<Q, T, Kv, C, R, N, V>, Ref> {
  using args = kernels::LatentArgs<Q, T, Kv>;
  static void run(Ref::stream, const args& a) noexcept {
    for (int s = 0; s < a.seqs; ++s)
      for (int row = a.first_row[s]; row < a.first_row[s + 1]; row += block)
        for (int h = 0; h < a.heads; ++h) some(a, s, row, std::min(block, a.first_row[s + 1] - row), h);
  }

 private:
  static constexpr int block = 8;  // rows that share the keys and values made for them

  // One head of `rows` rows: softmax in one pass, rescaling when the maximum grows.
  static void some(const args& a, int s, int first, int rows, int h) noexcept {
    using layout = kernels::LatentLayout<Kv, C + R>;
    double top[block], sum[block] = {}, o[block][V] = {}, kv[N + V];
    std::fill_n(top, block, -INFINITY);
    const int seen = a.context[s] - (a.first_row[s + 1] - first) + 1;  // by the first row
    for (int t = 0; t < seen + rows - 1; ++t) {
      const int page = a.block_table[static_cast<std::ptrdiff_t>(s) * a.table_stride + t / layout::page];
      const Kv* latent = a.pages + layout::at(page * layout::page + t % layout::page);
      for (int i = 0; i < N + V; ++i) {
        const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(h) * (N + V) + i;
        kv[i] = 0;
        for (int c = 0; c < C; ++c) kv[i] += double{static_cast<float>(a.w[at * C + c])} * double{static_cast<float>(latent[c])};
        if constexpr (quant::Scaled<Q>) kv[i] *= double{a.w_scale[at]};
      }
      for (int r = std::max(0, t + 1 - seen); r < rows; ++r) {
        const T* q = a.q + static_cast<std::ptrdiff_t>(first + r) * a.ldq + static_cast<std::ptrdiff_t>(h) * (N + R);
        double score = 0;
        for (int i = 0; i < N; ++i) score += double{static_cast<float>(q[i])} * kv[i];
        for (int i = 0; i < R; ++i) score += double{static_cast<float>(q[N + i])} * double{static_cast<float>(latent[C + i])};
        score *= double{a.scale};
        const double higher = std::fmax(top[r], score), keep = std::exp(top[r] - higher), p = std::exp(score - higher);
        sum[r] = sum[r] * keep + p;
        for (int i = 0; i < V; ++i) o[r][i] = o[r][i] * keep + p * kv[N + i];
        top[r] = higher;
      }
    }
    for (int r = 0; r < rows; ++r)
      for (int i = 0; i < V; ++i)
        a.o[(static_cast<std::ptrdiff_t>(first + r) * a.heads + h) * V + i] = T(static_cast<float>(o[r][i] / sum[r]));
  }
};

}  // namespace atom
