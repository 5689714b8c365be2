#pragma once
// Attention over a paged KV cache and the ops in front of it: rope (with optional QK-norm), cache write, attention.
// One idea: one attention key serves prefill, chunked prefill and decode: a sequence brings `n` query rows, and its cache holds
// `context` tokens whose last n are those rows.
#include "atom/core/cost.hpp"
#include "atom/core/name.hpp"
#include "atom/core/run.hpp"
#include "atom/ops/kv_layout.hpp"

namespace atom::kernels {

struct RopeFlags {
  bool qk_norm = false;  // first RMSNorm each q and k head over D (rounded to T, then weighed), then rotate
  bool once = false;     // weighed before it is rounded
  bool operator==(const RopeFlags&) const = default;
};

/// Rotates q and k heads in place, half-split ("NeoX") pairs (i, i + R/2) of the first R = rotary_dim channels; v is untouched.
template <class T, int D, RopeFlags F> struct rope {
  struct args {
    T* qkv;                // (rows, (heads + 2 * kv_heads) * D): q heads, k heads, v heads; row stride ld
    const int* positions;  // (rows)
    const float* cos_sin;  // (positions, rotary_dim): cos[R/2], sin[R/2]
    const float* q_norm;   // (D), or null without F.qk_norm
    const float* k_norm;   // (D), or null without F.qk_norm
    int rows, heads, kv_heads, ld, rotary_dim;
    float eps;
  };
  static constexpr Name name() {
    return {F.once ? "once_" : "", F.qk_norm ? "qk_norm_rope<" : "rope<", type_name<T>, ",", name_of_int(D), ">"};
  }
  static constexpr Cost cost(const args& a) {
    const double n = double(a.rows) * (a.heads + a.kv_heads) * D;
    return {2 * n * sizeof(T), (F.qk_norm ? 7 : 3) * n};
  }
};

/// Stores this step's keys and values; codec<Kv> quantises each row where Kv is a scheme. slots[r] = page index * page_tokens +
/// token within the page.
template <class T, class Kv, int D> struct kv_write {
  struct args {
    const T* k;                  // (rows, kv_heads * D), row stride ld
    const T* v;                  // (rows, kv_heads * D), row stride ld
    cache_element<Kv>* k_pages;  // KvLayout<Kv, D>: (pages, kv_heads) of (page_tokens, D), then scales if Kv has them
    cache_element<Kv>* v_pages;  // likewise
    const int* slots;            // (rows)
    int rows, kv_heads, ld;
    int* arrivals = nullptr;  // (rows, kv_heads), set to zero for the attention that follows; null where that does not split
  };
  static constexpr Name name() { return {"kv_write<", type_name<T>, ",", CacheRow<Kv>::name(), ",", name_of_int(D), ">"}; }
  static constexpr Cost cost(const args& a) {
    return {2.0 * a.rows * a.kv_heads * (D * sizeof(T) + KvLayout<Kv, D>::bytes_per_row()), 0};
  }
};

/// Both in one launch: q heads are turned where they lie, k heads on their way to the cache. What qkv then holds of k is not said.
template <class T, class Kv, int D, RopeFlags F> struct rope_kv_write {
  using rope = kernels::rope<T, D, F>;
  using write = kernels::kv_write<T, Kv, D>;
  struct args {
    typename rope::args turn;
    typename write::args store;  // k and v lie in turn.qkv, and so many rows are turned
  };
  static constexpr Name name() {
    return {F.once ? "once_" : "", F.qk_norm ? "qk_norm_rope_kv_write<" : "rope_kv_write<",
            type_name<T>,          ",",
            CacheRow<Kv>::name(),  ",",
            name_of_int(D),        ">"};
  }
  static constexpr Cost cost(const args& a) {
    const double k = double(a.turn.rows) * a.turn.kv_heads * D * sizeof(T);  // written by the one, read by the other
    Cost c = rope::cost(a.turn);
    c += write::cost(a.store);
    c.bytes -= 2 * k;
    return c;
  }
};

struct AttnFlags {
  bool window = false;  // a row sees the last `window` tokens up to itself
  bool sinks = false;   // every query head gives part of its softmax to a logit of its own, which has no value
  bool operator==(const AttnFlags&) const = default;
};

/// Of every head width and kind of attention.
template <class T, class Kv> struct AttentionArgs {
  const T* q;                        // (rows, heads * D), row stride ldq
  T* o;                              // (rows, heads * D), row stride heads * D
  const cache_element<Kv>* k_pages;  // KvLayout<Kv, D>: (pages, kv_heads) of (page_tokens, D), then scales if Kv has them
  const cache_element<Kv>* v_pages;  // likewise
  const int* block_table;            // (seqs, table_stride): page index of each page_tokens tokens of the sequence
  const int* first_row;              // (seqs + 1): rows of sequence s are [first_row[s], first_row[s + 1])
  const int* context;                // (seqs): tokens in the cache, this step's included
  int rows, seqs, heads, kv_heads, ldq, table_stride;
  float scale;
  int window = 0;                // tokens that a row sees, itself included; 0: all, as without F.window
  const float* sinks = nullptr;  // (heads), to be compared with scores after the scale; null without F.sinks
  float* partials = nullptr;     // (seqs, heads, attention_splits(kv_heads), partial_width(D)), or null: nothing is split
  int* arrivals = nullptr;       // (rows, kv_heads), zeros; null beside null partials
};
/// A kernel that splits the context of a lone row over blocks leaves up to so many parts of its answer: impl::splits asks for room.
constexpr int attention_splits(int kv_heads) { return kv_heads > 32 ? 4 : kv_heads < 4 ? 32 : 128 / kv_heads; }
constexpr int partial_width(int head_dim) { return head_dim + 4; }

/// o = softmax(q · Kᵀ * scale, causal) · V per head; query head h reads KV head h / (heads / kv_heads).
/// Row i of sequence s, i in [0, n), n = first_row[s+1] - first_row[s], is at position p = context[s] - n + i and sees positions
/// j <= p; with a window W those with p - W < j <= p. A sink is one more score of its head, whose value is zero.
template <class T, class Kv, int D, AttnFlags F = AttnFlags{}> struct paged_attention {
  using args = AttentionArgs<T, Kv>;
  static constexpr Name name() {
    return {F.window ? "windowed_" : "",
            F.sinks ? "sink_" : "",
            "paged_attention<",
            type_name<T>,
            ",",
            CacheRow<Kv>::name(),
            ",",
            name_of_int(D),
            ">"};
  }
  /// Reads the block tables' lengths, so the batch must be real; a dry run has null pointers and counts q and o only.
  static constexpr Cost cost(const args& a) {
    Cost c{2.0 * a.rows * a.heads * D * sizeof(T), 0};
    if (!a.context || !a.first_row) return c;
    for (int s = 0; s < a.seqs; ++s) {
      const double n = a.first_row[s + 1] - a.first_row[s], most = a.context[s], least = most - n + 1;  // that a row may see
      if (n == 0) continue;
      const double w = F.window && a.window > 0 ? a.window : most;
      const double all = w < least - 1 ? least - 1 : w < most ? w : most;  // rows up to here see everything before them
      const double pairs = (all * (all + 1) - least * (least - 1)) / 2 + (most - all) * w;
      c += {2 * (w + n - 1 < most ? w + n - 1 : most) * a.kv_heads * KvLayout<Kv, D>::bytes_per_row(), 4 * a.heads * D * pairs};
    }
    return c;
  }
};

}  // namespace atom::kernels
