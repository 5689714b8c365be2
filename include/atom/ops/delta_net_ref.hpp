#pragma once
// Reference: causal_conv, delta_gates, gated_delta.
#include <algorithm>
#include <cmath>

#include "atom/core/backend.hpp"
#include "atom/ops/delta_net_op.hpp"

namespace atom {

template <class T> struct impl<kernels::causal_conv<T>, Ref> {
  static void run(Ref::stream, const typename kernels::causal_conv<T>::args& a) noexcept {
    for (int s = 0; s < a.past.seqs; ++s)
      for (int c = 0; c < a.channels; ++c) channel(a, s, c);
  }

 private:
  static void channel(const typename kernels::causal_conv<T>::args& a, int seq, int c) noexcept {
    const int first = a.past.first_row[seq], rows = a.past.rows(seq), before = a.taps - 1;
    if (a.past.places[seq] < 0) {
      for (int r = 0; r < rows; ++r) a.y[static_cast<std::ptrdiff_t>(first + r) * a.channels + c] = T(0.0f);
      return;
    }
    float* state = a.past.of(seq) + c;
    float seen[kernels::most_taps] = {};  // the last `taps` inputs
    for (int j = 0; j < before && !a.past.begins(seq); ++j) seen[j] = state[static_cast<std::ptrdiff_t>(j) * a.channels];
    for (int r = first; r < first + rows; ++r) {
      seen[before] = static_cast<float>(a.x[static_cast<std::ptrdiff_t>(r) * a.ldx + c]);
      double sum = 0;
      for (int j = 0; j < a.taps; ++j) sum += double{a.w[c * a.taps + j]} * double{seen[j]};
      a.y[static_cast<std::ptrdiff_t>(r) * a.channels + c] = T(static_cast<float>(sum / (1 + std::exp(-sum))));
      for (int j = 0; j < before; ++j) seen[j] = seen[j + 1];
    }
    for (int j = 0; j < before; ++j) state[static_cast<std::ptrdiff_t>(j) * a.channels] = seen[j];
  }
};

template <class T> struct impl<kernels::delta_gates<T>, Ref> {
  static void run(Ref::stream, const typename kernels::delta_gates<T>::args& a) noexcept {
    for (int r = 0; r < a.rows; ++r)
      for (int h = 0; h < a.heads; ++h) {
        const T* b = a.ba + static_cast<std::ptrdiff_t>(r) * a.ld + h;
        const double x = double{static_cast<float>(b[a.heads])} + double{a.shift[h]};
        const double softplus = x > 30 ? x : std::log1p(std::exp(x));
        const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(r) * a.heads + h;
        a.decay[at] = static_cast<float>(std::exp(-std::exp(double{a.rate[h]}) * softplus));
        a.beta[at] = static_cast<float>(1 / (1 + std::exp(-double{static_cast<float>(*b)})));
      }
  }
};

template <class T> struct impl<kernels::gated_delta<T>, Ref> {
  using op = kernels::gated_delta<T>;
  static void run(Ref::stream, const typename op::args& a) noexcept {
    for (int s = 0; s < a.past.seqs; ++s)
      for (int h = 0; h < a.value_heads; ++h) head(a, s, h);
  }

 private:
  static void head(const typename op::args& a, int seq, int h) noexcept {
    const int first = a.past.first_row[seq], rows = a.past.rows(seq), K = a.key_dim, V = a.value_dim;
    const int keys = a.key_heads * K, channels = 2 * keys + a.value_heads * V;
    const auto o = [&](int row) { return a.o + (static_cast<std::ptrdiff_t>(row) * a.value_heads + h) * V; };
    if (a.past.places[seq] < 0) {
      for (int r = first; r < first + rows; ++r) std::fill_n(o(r), V, T(0.0f));
      return;
    }
    float* S = a.past.of(seq) + static_cast<std::ptrdiff_t>(h) * K * V;
    if (a.past.begins(seq)) std::fill_n(S, static_cast<std::ptrdiff_t>(K) * V, 0.0f);
    for (int r = first; r < first + rows; ++r) {
      const T* q = a.qkv + static_cast<std::ptrdiff_t>(r) * channels + h / (a.value_heads / a.key_heads) * K;
      const T* k = q + keys;
      const T* v = a.qkv + static_cast<std::ptrdiff_t>(r) * channels + 2 * keys + h * V;
      const std::ptrdiff_t gate = static_cast<std::ptrdiff_t>(r) * a.value_heads + h;
      const double decay = double{a.decay[gate]}, beta = double{a.beta[gate]};
      const double of_q = unit(q, K) / std::sqrt(double(K)), of_k = unit(k, K);
      for (int j = 0; j < V; ++j) {  // every column of S on its own
        double known = 0, out = 0;
        for (int i = 0; i < K; ++i) known += decay * double{S[i * V + j]} * of_k * double{static_cast<float>(k[i])};
        const double news = beta * (double{static_cast<float>(v[j])} - known);
        for (int i = 0; i < K; ++i) {
          S[i * V + j] = static_cast<float>(decay * double{S[i * V + j]} + of_k * double{static_cast<float>(k[i])} * news);
          out += double{S[i * V + j]} * of_q * double{static_cast<float>(q[i])};
        }
        o(r)[j] = T(static_cast<float>(out));
      }
    }
  }
  static double unit(const T* x, int n) noexcept {
    double squares = 0;
    for (int i = 0; i < n; ++i) squares += double{static_cast<float>(x[i])} * double{static_cast<float>(x[i])};
    return 1 / std::sqrt(squares + double{op::eps});
  }
};

}  // namespace atom
