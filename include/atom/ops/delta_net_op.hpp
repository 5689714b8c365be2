#pragma once
// The recurrence of a gated delta net, and what stands in front of it: a short causal convolution, and the gates.
// Yang et al. 2024, https://arxiv.org/abs/2412.06464
// One idea: a sequence brings `n` rows; those before them left their mark in its state, of fixed size (DeltaLayout). So prefill, a
// prompt in chunks and decode are one key. A sequence whose context is its rows alone begins: it finds zeros, whatever is there.
#include "atom/core/cost.hpp"
#include "atom/core/name.hpp"
#include "atom/core/run.hpp"
#include "atom/ops/delta_layout.hpp"

namespace atom::kernels {

/// Whose rows these are, and where each sequence's state is: rows of sequence s are [first_row[s], first_row[s + 1]).
struct Recurrence {
  float* state;          // (places, stride): each a sequence's
  const int* places;     // (seqs): which one is sequence s's; -1: none, its rows are zeros
  const int* first_row;  // (seqs + 1)
  const int* context;    // (seqs): tokens of the sequence, this step's included
  int seqs;
  std::size_t stride;

  [[nodiscard]] constexpr int rows(int seq) const { return first_row[seq + 1] - first_row[seq]; }
  [[nodiscard]] constexpr bool begins(int seq) const { return context[seq] == rows(seq); }
  [[nodiscard]] constexpr float* of(int seq) const { return state + static_cast<std::size_t>(places[seq]) * stride; }
};

inline constexpr int most_taps = 8, widest_key = 256;  // kernels keep them on the stack

/// y[t] = silu(sum over j of w[j] * x[t - taps + 1 + j]), channel by channel. A state holds the last taps - 1 inputs, oldest first.
template <class T> struct causal_conv {
  struct args {
    const T* x;       // (rows, channels), row stride ldx
    const float* w;   // (channels, taps), taps <= most_taps
    T* y;             // (rows, channels)
    Recurrence past;  // state: (taps - 1, channels)
    int rows, channels, taps, ldx;
  };
  static constexpr Name name() { return {"causal_conv<", type_name<T>, ">"}; }
  static constexpr Cost cost(const args& a) {
    const double n = double(a.rows) * a.channels;
    return {2 * n * sizeof(T) + 4.0 * a.channels * (a.taps + 2.0 * (a.taps - 1) * a.past.seqs), (2.0 * a.taps + 5) * n};
  }
};

/// How much of a state stays, and how much of what is new is taken in, of every row and value head:
/// decay = exp(-exp(rate) * softplus(a + shift)), beta = sigmoid(b).
template <class T> struct delta_gates {
  struct args {
    const T* ba;         // (rows, 2 * heads): b, then a; row stride ld
    const float* rate;   // (heads)
    const float* shift;  // (heads)
    float* decay;        // (rows, heads)
    float* beta;         // (rows, heads)
    int rows, heads, ld;
  };
  static constexpr Name name() { return {"delta_gates<", type_name<T>, ">"}; }
  static constexpr Cost cost(const args& a) {
    const double n = double(a.rows) * a.heads;
    return {n * (2 * sizeof(T) + 8) + 8.0 * a.heads, 20 * n};
  }
};

/// Of every value head a matrix S (key_dim, value_dim). Row by row, with q and k made unit vectors, q then divided by
/// sqrt(key_dim):   S *= decay;  S += k (beta (v - S^T k))^T;  o = S^T q.
/// Value head h reads key head h / (value_heads / key_heads). All in float, o rounded once.
template <class T> struct gated_delta {
  struct args {
    const T* qkv;        // (rows, 2 * key_heads * key_dim + value_heads * value_dim): queries, keys, values; key_dim <= widest_key
    const float* decay;  // (rows, value_heads)
    const float* beta;   // (rows, value_heads)
    T* o;                // (rows, value_heads * value_dim)
    Recurrence past;     // state: (value_heads, key_dim, value_dim)
    int rows, key_heads, value_heads, key_dim, value_dim;
  };
  static constexpr float eps = 1e-6f;  // of the unit vectors: x / sqrt(|x|^2 + eps)
  static constexpr Name name() { return {"gated_delta<", type_name<T>, ">"}; }
  static constexpr Cost cost(const args& a) {
    const double keys = double(a.key_heads) * a.key_dim, values = double(a.value_heads) * a.value_dim;
    const double states = values * a.key_dim;
    return {a.rows * (2 * (keys + values) * sizeof(T) + 8.0 * a.value_heads) + 8 * states * a.past.seqs, 7 * states * a.rows};
  }
};

}  // namespace atom::kernels
