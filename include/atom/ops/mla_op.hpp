#pragma once
// Multi-head latent attention: rope of neighbouring channels, cache write, attention.   DeepSeek-V2,
// https://arxiv.org/abs/2405.04434 One idea: the cache holds one row per token, [c | k_pe], of which every head makes its keys and
// values: k = [Wk c | k_pe], v = Wv c, with Wk and Wv the head's rows of kv_b_proj. Whether a kernel makes them (cheap per pair of
// tokens) or moves Wk to the query and Wv behind the sum (cheap per token of the context) is its own business: `latent_expands`
// says where the two meet. Widths, in this order everywhere: C of c, R of k_pe, N of the part of a key that is made, V of a value.
#include <cstddef>

#include "atom/core/cost.hpp"
#include "atom/core/name.hpp"
#include "atom/core/run.hpp"
#include "atom/ops/kv_layout.hpp"
#include "atom/quant/scheme.hpp"

namespace atom::kernels {

/// Rotates channels (2i, 2i + 1) by angle i (GPT-J's pairs), in place.
template <class T> struct rope_pairs {
  struct args {
    T* x;                  // (rows, heads, rotary_dim): row stride ldx, head stride ldh
    const int* positions;  // (rows)
    const float* cos_sin;  // (positions, rotary_dim): cos[R/2], sin[R/2]
    int rows, heads, ldx, ldh, rotary_dim;
  };
  static constexpr Name name() { return {"rope_pairs<", type_name<T>, ">"}; }
  static constexpr Cost cost(const args& a) {
    const double n = double(a.rows) * a.heads * a.rotary_dim;
    return {2 * n * sizeof(T), 3 * n};
  }
};

/// Stores this step's rows [c | k_pe].
template <class T, class Kv, int C, int R> struct latent_write {
  struct args {
    const T* c;        // (rows, C), row stride ldc: normed
    const T* k_pe;     // (rows, R), row stride ldk: rotated
    Kv* pages;         // LatentLayout<Kv, C + R>
    const int* slots;  // (rows)
    int rows, ldc, ldk;
  };
  static constexpr Name name() {
    return {"latent_write<", type_name<T>, ",", type_name<Kv>, ",", name_of_int(C), "+", name_of_int(R), ">"};
  }
  static constexpr Cost cost(const args& a) { return {double(a.rows) * (C + R) * (sizeof(T) + sizeof(Kv)), 0}; }
};

struct LatentDims {
  int c, r, n, v;
};

/// Fewer multiplications with the keys and values of every head made than without: for `rows` rows that end a context.
constexpr bool latent_expands(const LatentDims& d, int rows, int context) {
  const double prefix = double(context) - rows, pairs = rows * prefix + double(rows) * rows / 2;
  return pairs * (2 * d.c - d.n - d.v) >= prefix * d.c * (d.n + d.v);
}

/// Of all widths.
template <class Q, class T, class Kv> struct LatentArgs {
  const T* q;                   // (rows, heads * (N + R)): per head what meets Wk c, then what meets k_pe; row stride ldq
  const typename Q::weight* w;  // (heads * (N + V), C), per head Wk, then Wv; in the layout of linear<Q, T>
  const float* w_scale;         // (heads * (N + V)), or null when the scheme has no scales
  T* o;                         // (rows, heads * V)
  const Kv* pages;              // LatentLayout<Kv, C + R>
  const int* block_table;       // (seqs, table_stride): page index of each page_tokens tokens of the sequence
  const int* first_row;         // (seqs + 1): rows of sequence s are [first_row[s], first_row[s + 1])
  const int* context;           // (seqs): tokens in the cache, this step's included
  int rows, seqs, heads, ldq, table_stride;
  float scale;
  std::byte* scratch = nullptr;  // (impl::scratch_bytes(rows, seqs, heads)); null where the backend asks for none
};

/// Weights with one scale per row, or none.
template <class Q>
concept ScaledByRow = !quant::Scaled<Q> || (Q::w == quant::per_row);

/// o = softmax(q · Kᵀ * scale, causal) · V per head, of the keys and values that the cached rows stand for. Rows and positions as
/// in paged_attention. A scheme's weights are decoded, whatever it does to activations elsewhere.
template <quant::Scheme Q, class T, class Kv, int C, int R, int N, int V> struct latent_attention {
  static_assert(ScaledByRow<Q>, "atom: latent_attention reads kv_b_proj with one scale per row, or none");
  using args = LatentArgs<Q, T, Kv>;
  static constexpr LatentDims dims{C, R, N, V};
  static constexpr Name name() {
    return {"latent_attention<", Q::name(), ",", type_name<T>, ",", type_name<Kv>, ",", name_of_int(C), "+", name_of_int(R), ">"};
  }
  /// Needs a real batch, as paged_attention's. Multiplications are those of the cheaper form.
  static constexpr Cost cost(const args& a) {
    const double heads = a.heads;
    Cost c{double(a.rows) * heads * (N + R + V) * sizeof(T) + heads * (N + V) * C * sizeof(typename Q::weight), 0};
    if (!a.context || !a.first_row) return c;
    for (int s = 0; s < a.seqs; ++s) {
      const double n = a.first_row[s + 1] - a.first_row[s], len = a.context[s], pairs = n * (len - n) + n * (n + 1) / 2;
      const bool expands = latent_expands(dims, a.first_row[s + 1] - a.first_row[s], a.context[s]);
      c += {len * (C + R) * sizeof(Kv),
            2 * heads * (expands ? len * C * (N + V) + pairs * (N + R + V) : n * C * (N + V) + pairs * (C + R + C))};
    }
    return c;
  }
};

}  // namespace atom::kernels
