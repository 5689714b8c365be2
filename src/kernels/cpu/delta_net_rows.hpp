#pragma once
// The recurrence of gated delta nets, and the convolution in front of it, of one level.
// One idea: channels of the convolution, and columns of a state, know nothing of each other. So the work is cut there, and a block
// goes through all of a sequence's rows with its part of the state at hand.
#include "delta_net.hpp"
#include "sigmoid.hpp"

namespace atom::cpu {

/// A sequence's part of a Recurrence.
template <class Level> struct PartOf {
  int begin, end;  // its rows
  bool starts;     // with nothing before them
  float* state;    // null: it has none
  PartOf(const kernels::Recurrence& all, int s)
      : begin(all.first_row[s]),
        end(all.first_row[s + 1]),
        starts(all.context[s] == end - begin),
        state(all.places[s] < 0 ? nullptr : all.state + static_cast<std::size_t>(all.places[s]) * all.stride) {}
};

template <class Level, class T> int DeltaNet<Level, T>::columns() { return 4 * Simd<Level>::width; }

template <class Level, class T>
[[gnu::flatten]] void DeltaNet<Level, T>::conv(const typename kernels::causal_conv<T>::args& a, int first, int count) {
  using S = Simd<Level>;
  const int before = a.taps - 1;
  alignas(64) float w[kernels::most_taps][conv_block], past[kernels::most_taps][conv_block];
  for (int j = 0; j < a.taps; ++j)
    for (int c = 0; c < count; ++c) w[j][c] = a.w[(first + c) * a.taps + j];
  for (int s = 0; s < a.past.seqs; ++s) {
    const PartOf<Level> part(a.past, s);
    const auto y = [&](int row) { return a.y + static_cast<std::ptrdiff_t>(row) * a.channels + first; };
    if (!part.state) {
      for (int r = part.begin; r < part.end; ++r)
        each<Level>(count, [&](int i, auto lanes) { S::store(y(r) + i, S::zero(), lanes); });
      continue;
    }
    float* state = part.state + first;
    for (int j = 0; j < before; ++j)
      each<Level>(count, [&](int i, auto lanes) {
        const float* from = state + static_cast<std::ptrdiff_t>(j) * a.channels + i;
        S::store(past[j] + i, part.starts ? S::zero() : S::load(from, lanes), lanes);
      });
    int oldest = 0;  // in `past`, a ring
    for (int r = part.begin; r < part.end; ++r, oldest = oldest + 1 < before ? oldest + 1 : 0) {
      const T* x = a.x + static_cast<std::ptrdiff_t>(r) * a.ldx + first;
      each<Level>(count, [&](int i, auto lanes) {
        const auto now = S::load(x + i, lanes);
        auto sum = S::load(w[before] + i, lanes) * now;
        for (int j = 0, at = oldest; j < before; ++j, at = at + 1 < before ? at + 1 : 0)
          sum = S::fma(S::load(w[j] + i, lanes), S::load(past[at] + i, lanes), sum);
        if (before > 0) S::store(past[oldest] + i, now, lanes);
        S::store(y(r) + i, silu<Level>(sum, x), lanes);
      });
    }
    for (int j = 0, at = oldest; j < before; ++j, at = at + 1 < before ? at + 1 : 0)
      each<Level>(count, [&](int i, auto lanes) {
        S::store(state + static_cast<std::ptrdiff_t>(j) * a.channels + i, S::load(past[at] + i, lanes), lanes);
      });
  }
}

/// 1 / |x|, and x as floats.
template <class Level, class T> float unit(const T* x, int n, float* floats) {
  using S = Simd<Level>;
  auto squares = S::zero();
  each<Level>(n, [&](int i, auto lanes) {
    const auto v = S::load(x + i, lanes);
    S::store(floats + i, v, lanes);
    squares = S::fma(v, v, squares);
  });
  return static_cast<float>(
      1 / __builtin_sqrt(static_cast<double>(S::sum(squares)) + static_cast<double>(kernels::gated_delta<T>::eps)));
}

/// N vectors of columns, from `first` on, through all rows of a sequence.
template <class Level, class T, int N, class Lanes>
void delta_columns(const typename kernels::gated_delta<T>::args& a, const PartOf<Level>& part, int head, int first, Lanes lanes) {
  using S = Simd<Level>;
  using V = typename S::V;
  const int K = a.key_dim, keys = a.key_heads * K, values = a.value_heads * a.value_dim;
  const int key_head = head / (a.value_heads / a.key_heads);
  alignas(64) float q[kernels::widest_key], k[kernels::widest_key];
  float* const state = part.state + static_cast<std::ptrdiff_t>(head) * K * a.value_dim + first;
  const auto at = [&](int i) { return state + static_cast<std::ptrdiff_t>(i) * a.value_dim; };
  if (part.starts)
    for (int i = 0; i < K; ++i)
      for (int n = 0; n < N; ++n) S::store(at(i) + n * S::width, S::zero(), lanes);
  for (int r = part.begin; r < part.end; ++r) {
    const T* row = a.qkv + static_cast<std::ptrdiff_t>(r) * (2 * keys + values);
    const T* v = row + 2 * keys + head * a.value_dim + first;
    const std::ptrdiff_t gate = static_cast<std::ptrdiff_t>(r) * a.value_heads + head;
    const float of_q = unit<Level>(row + key_head * K, K, q) / __builtin_sqrtf(static_cast<float>(K));
    const float of_k = unit<Level>(row + keys + key_head * K, K, k);
    const V decay = S::set(a.decay[gate]);
    V known[2][N], out[2][N], news[N];  // sums of even and odd i: two chains each
    for (int n = 0; n < N; ++n) known[0][n] = known[1][n] = out[0][n] = out[1][n] = S::zero();
    const auto read = [&](int i, V(&sum)[N]) {
      const V by = S::set(k[i]);
      for (int n = 0; n < N; ++n) sum[n] = S::fma(S::load(at(i) + n * S::width, lanes), by, sum[n]);
    };
    int i = 0;
    for (; i + 1 < K; i += 2) read(i, known[0]), read(i + 1, known[1]);
    if (i < K) read(i, known[0]);
    for (int n = 0; n < N; ++n) {
      const V told = (known[0][n] + known[1][n]) * decay * S::set(of_k);
      news[n] = (S::load(v + n * S::width, lanes) - told) * S::set(a.beta[gate] * of_k);  // times k as it is
    }
    const auto write = [&](int j, V(&sum)[N]) {
      const V by = S::set(k[j]), to = S::set(q[j]);
      for (int n = 0; n < N; ++n) {
        const V now = S::fma(news[n], by, S::load(at(j) + n * S::width, lanes) * decay);
        S::store(at(j) + n * S::width, now, lanes);
        sum[n] = S::fma(now, to, sum[n]);
      }
    };
    for (i = 0; i + 1 < K; i += 2) write(i, out[0]), write(i + 1, out[1]);
    if (i < K) write(i, out[0]);
    T* o = a.o + static_cast<std::ptrdiff_t>(r) * values + head * a.value_dim + first;
    for (int n = 0; n < N; ++n) S::store(o + n * S::width, (out[0][n] + out[1][n]) * S::set(of_q), lanes);
  }
}

template <class Level, class T>
[[gnu::flatten]] void DeltaNet<Level, T>::rule(const typename kernels::gated_delta<T>::args& a, int seq, int head, int first,
                                               int count) {
  using S = Simd<Level>;
  const PartOf<Level> part(a.past, seq);
  if (!part.state) {
    const int values = a.value_heads * a.value_dim;
    for (int r = part.begin; r < part.end; ++r) {
      T* o = a.o + static_cast<std::ptrdiff_t>(r) * values + head * a.value_dim + first;
      each<Level>(count, [&](int i, auto lanes) { S::store(o + i, S::zero(), lanes); });
    }
    return;
  }
  if (count == columns()) return delta_columns<Level, T, 4>(a, part, head, first, typename S::Whole{});
  each<Level>(count, [&](int i, auto lanes) { delta_columns<Level, T, 1>(a, part, head, first + i, lanes); });
}

}  // namespace atom::cpu
