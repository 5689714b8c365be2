#pragma once
// Latent attention of one level.
#include "linear_kernels.hpp"
#include "mla.hpp"
#include "simd_pair.hpp"

namespace atom::cpu {

/// A vector's worth of dwords of a panel as floats: column j of the dword's `per`, a row in each lane.
template <class Level, class W> struct Unpack;
template <class Level> struct Unpack<Level, float> {
  static constexpr int per = 1;
  static void run(const char* p, typename Simd<Level>::V (&v)[1]) { v[0] = Simd<Level>::load(reinterpret_cast<const float*>(p)); }
};
template <class Level> struct Unpack<Level, bf16> {
  static constexpr int per = 2;
  static void run(const char* p, typename Simd<Level>::V (&v)[2]) {
    const auto words = Simd<Level>::load_words(reinterpret_cast<const bf16*>(p));
    v[0] = Simd<Level>::even(words), v[1] = Simd<Level>::odd(words);
  }
};
template <class Level> struct Unpack<Level, fp16> {
  static constexpr int per = 2;
  static void run(const char* p, typename Simd<Level>::V (&v)[2]) {
    using S = Simd<Level>;
    const auto* halves = reinterpret_cast<const fp16*>(p);
    const auto low = S::load(halves), high = S::load(halves + S::width);
    v[0] = S::evens(low, high), v[1] = S::odds(low, high);
  }
};
template <class Level> struct Unpack<Level, int8> {
  static constexpr int per = 4;
  static void run(const char* p, typename Simd<Level>::V (&v)[4]) { Simd<Level>::bytes_to_floats(p, v); }
};

template <class Level, class X, class W>
[[gnu::flatten]] void LatentHeads<Level, X, W>::absorb(const PanelRows& w, const X* q, std::ptrdiff_t ldq, int n, X* u,
                                                       std::ptrdiff_t ldu) {
  using S = Simd<Level>;
  using U = Unpack<Level, W>;
  constexpr int most_rows = 512, dwords = 4 / U::per;  // of four columns
  alignas(64) float query[2][most_rows];
  alignas(64) float sums[2][4];
  for (int i = 0; i < n; i += 2) {
    const int both = n - i < 2 ? 1 : 2;
    for (int r = 0; r < both; ++r)
      for (int o = 0; o < w.rows; o += S::width) {
        const auto x = S::load(q + (i + r) * ldq + o);
        S::store(query[r] + o, w.scale ? x * S::load(w.scale + o) : x);
      }
    const auto columns = [&]<int R>(int k, std::integral_constant<int, R>) {
      typename S::V sum[R][4];
      for (int r = 0; r < R; ++r)
        for (int j = 0; j < 4; ++j) sum[r][j] = S::zero();
      const int dword = k / U::per;
      const char* at = w.panels + static_cast<std::ptrdiff_t>(dword / 16) * block_pair_bytes + dword % 16 * 64;
      for (int o = 0; o < w.rows; o += panel_rows, at += w.panel_bytes)
        for (int lane = 0; lane < panel_rows; lane += S::width)
          for (int d = 0; d < dwords; ++d) {
            typename S::V x[U::per];
            U::run(at + lane / 16 * tile_bytes + lane % 16 * 4 + d * 64, x);
            for (int r = 0; r < R; ++r) {
              const auto y = S::load(query[r] + o + lane);
              for (int j = 0; j < U::per; ++j) sum[r][d * U::per + j] = S::fma(y, x[j], sum[r][d * U::per + j]);
            }
          }
      for (int r = 0; r < R; ++r) _mm_store_ps(sums[r], S::sum4(sum[r][0], sum[r][1], sum[r][2], sum[r][3]));
    };
    alignas(64) float row[2][S::width];
    for (int k = 0; k < w.cols; k += S::width) {
      for (int j = 0; j < S::width; j += 4) {
        if (both == 2)
          columns(k + j, std::integral_constant<int, 2>{});
        else
          columns(k + j, std::integral_constant<int, 1>{});
        for (int r = 0; r < both; ++r) _mm_store_ps(row[r] + j, _mm_load_ps(sums[r]));
      }
      for (int r = 0; r < both; ++r) S::store(u + (i + r) * ldu + k, S::load(row[r]));
    }
  }
}

template <class Level, class X, class W>
[[gnu::flatten]] void LatentHeads<Level, X, W>::make(const PanelRows& w, const X* x, std::ptrdiff_t ldx, int n, float* y,
                                                     std::ptrdiff_t ldy) {
  using S = Simd<Level>;
  using U = Unpack<Level, W>;
  constexpr int vectors = panel_rows / S::width, together = S::width == 16 ? 6 : 2, most_cols = 1024;
  alignas(64) float in[together][most_cols];
  for (int i = 0; i < n; i += together) {
    const int count = n - i < together ? n - i : together;
    for (int r = 0; r < together; ++r)
      for (int k = 0; k < w.cols; k += S::width) S::store(in[r] + k, r < count ? S::load(x + (i + r) * ldx + k) : S::zero());
    for (int o = 0; o < w.rows; o += panel_rows) {
      const char* const panel = w.panels + o / panel_rows * w.panel_bytes;
      const auto rows = [&]<int R>(std::integral_constant<int, R>) {
        typename S::V sum[R][vectors];
        for (int r = 0; r < R; ++r)
          for (int v = 0; v < vectors; ++v) sum[r][v] = S::zero();
        for (int k = 0; k < w.cols; k += U::per) {
          const int dword = k / U::per;
          const char* at = panel + static_cast<std::ptrdiff_t>(dword / 16) * block_pair_bytes + dword % 16 * 64;
          for (int v = 0; v < vectors; ++v) {
            const int lane = v * S::width;
            typename S::V a[U::per];
            U::run(at + lane / 16 * tile_bytes + lane % 16 * 4, a);
            for (int r = 0; r < R; ++r)
              for (int j = 0; j < U::per; ++j) sum[r][v] = S::fma(S::set(in[r][k + j]), a[j], sum[r][v]);
          }
        }
        for (int r = 0; r < R && r < count; ++r)
          for (int v = 0; v < vectors; ++v) {
            const int at = o + v * S::width;
            S::store(y + (i + r) * ldy + at, w.scale ? sum[r][v] * S::load(w.scale + at) : sum[r][v]);
          }
      };
      if (count == 1)
        rows(std::integral_constant<int, 1>{});
      else
        rows(std::integral_constant<int, together>{});
    }
  }
}

template <class Level, class T>
[[gnu::flatten]] void LatentRows<Level, T>::rotate_pairs(T* x, int heads, std::ptrdiff_t stride, const float* angles,
                                                         int rotary_dim) {
  using S = Simd<Level>;
  const float *cos = angles, *sin = angles + rotary_dim / 2;
  for (int h = 0; h < heads; ++h, x += stride) {
    if constexpr (std::is_same_v<T, bf16>) {  // a vector of words is so many pairs
      using P = Pairs<Level, T>;
      for (int i = 0; i < rotary_dim; i += P::width) {
        const auto v = P::load(x + i, typename P::Whole{});
        const auto c = S::load(cos + i / 2), s = S::load(sin + i / 2);
        P::store(x + i, Pair<Level>{S::negated_fma(v.odd, s, v.even * c), S::fma(v.even, s, v.odd * c)}, typename P::Whole{});
      }
    } else {
      for (int i = 0; i < rotary_dim / 2; ++i) {
        const float even = x[2 * i], odd = x[2 * i + 1];
        x[2 * i] = even * cos[i] - odd * sin[i];
        x[2 * i + 1] = odd * cos[i] + even * sin[i];
      }
    }
  }
}

template <class Level, class T> void LatentRows<Level, T>::blend(float* sum, float keep, const T* x, float weight, int n) {
  using S = Simd<Level>;
  for (int i = 0; i < n; i += S::width) S::store(sum + i, S::fma(S::load(x + i), S::set(weight), S::load(sum + i) * S::set(keep)));
}

template <class Level, class T> void LatentRows<Level, T>::put(const float* x, float factor, T* y, int n) {
  using S = Simd<Level>;
  for (int i = 0; i < n; i += S::width) S::store(y + i, S::load(x + i) * S::set(factor));
}

}  // namespace atom::cpu
