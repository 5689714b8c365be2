#pragma once
// Reference: rope, kv_write, paged_attention.
#include <cmath>

#include "atom/core/backend.hpp"
#include "atom/ops/attention_op.hpp"
#include "atom/quant/codec.hpp"

namespace atom {

template <class T, int D, kernels::RopeFlags F> struct impl<kernels::rope<T, D, F>, Ref> {
  static void run(Ref::stream, const typename kernels::rope<T, D, F>::args& a) noexcept {
    const int half = a.rotary_dim / 2;
    for (int r = 0; r < a.rows; ++r) {
      const float* cos = a.cos_sin + static_cast<std::ptrdiff_t>(a.positions[r]) * a.rotary_dim;
      const float* sin = cos + half;
      for (int h = 0; h < a.heads + a.kv_heads; ++h) {
        T* x = a.qkv + static_cast<std::ptrdiff_t>(r) * a.ld + static_cast<std::ptrdiff_t>(h) * D;
        if constexpr (F.qk_norm) {
          const float* w = h < a.heads ? a.q_norm : a.k_norm;
          double squares = 0;
          for (int i = 0; i < D; ++i) squares += double{static_cast<float>(x[i])} * double{static_cast<float>(x[i])};
          const auto inverse = static_cast<float>(1 / std::sqrt(squares / D + double{a.eps}));
          for (int i = 0; i < D; ++i) {
            const float normed = static_cast<float>(x[i]) * inverse;
            x[i] = T(w[i] * (F.once ? normed : static_cast<float>(T(normed))));
          }
        }
        for (int i = 0; i < half; ++i) {
          const auto left = static_cast<float>(x[i]), right = static_cast<float>(x[i + half]);
          x[i] = T(left * cos[i] - right * sin[i]);
          x[i + half] = T(right * cos[i] + left * sin[i]);
        }
      }
    }
  }
};

template <class T, class Kv, int D> struct impl<kernels::kv_write<T, Kv, D>, Ref> {
  using layout = kernels::KvLayout<Kv, D>;
  static void run(Ref::stream, const typename kernels::kv_write<T, Kv, D>::args& a) noexcept {
    for (int r = 0; r < a.rows; ++r)
      for (int h = 0; h < a.kv_heads; ++h) {
        const std::ptrdiff_t from = static_cast<std::ptrdiff_t>(r) * a.ld + static_cast<std::ptrdiff_t>(h) * D;
        put(a.k + from, a.k_pages, a.slots[r], h, a.kv_heads);
        put(a.v + from, a.v_pages, a.slots[r], h, a.kv_heads);
      }
  }

 private:
  static void put(const T* from, typename layout::element* pages, int slot, int head, int kv_heads) noexcept {
    const int page = slot / layout::page, token = slot % layout::page;
    auto* to = pages + layout::at(page, head, token, kv_heads);
    if constexpr (kernels::has_scales<Kv>) {
      float x[D];
      for (int i = 0; i < D; ++i) x[i] = static_cast<float>(from[i]);
      const float scale = quant::codec<Kv>::scale_of(x, D);
      for (int i = 0; i < D; ++i) to[i] = quant::codec<Kv>::encode(x[i], scale);
      *layout::scale(pages, page, head, token, kv_heads) = scale;
    } else {
      for (int i = 0; i < D; ++i) to[i] = Kv(static_cast<float>(from[i]));
    }
  }
};

template <class T, class Kv, int D, kernels::RopeFlags F> struct impl<kernels::rope_kv_write<T, Kv, D, F>, Ref> {
  using op = kernels::rope_kv_write<T, Kv, D, F>;
  static void run(Ref::stream stream, const typename op::args& a) noexcept {
    impl<typename op::rope, Ref>::run(stream, a.turn);
    impl<typename op::write, Ref>::run(stream, a.store);
  }
};

template <class T, class Kv, int D, kernels::AttnFlags F> struct impl<kernels::paged_attention<T, Kv, D, F>, Ref> {
  using op = kernels::paged_attention<T, Kv, D, F>;
  static void run(Ref::stream, const typename op::args& a) noexcept {
    for (int s = 0; s < a.seqs; ++s) {
      const int rows = a.first_row[s + 1] - a.first_row[s];
      for (int i = 0; i < rows; ++i)
        for (int h = 0; h < a.heads; ++h) one(a, s, a.first_row[s] + i, a.context[s] - rows + i + 1, h);
    }
  }

 private:
  // One query head of one row over tokens below `end`: softmax in one pass, rescaling when the maximum grows.
  static void one(const typename op::args& a, int s, int row, int end, int head) noexcept {
    using layout = kernels::KvLayout<Kv, D>;
    const T* q = a.q + static_cast<std::ptrdiff_t>(row) * a.ldq + static_cast<std::ptrdiff_t>(head) * D;
    const int kv_head = head / (a.heads / a.kv_heads);
    const int begin = F.window && a.window > 0 && a.window < end ? end - a.window : 0;
    double top = F.sinks ? double{a.sinks[head]} : double{-INFINITY}, sum = F.sinks ? 1 : 0, o[D] = {};
    for (int t = begin; t < end; ++t) {
      const int page = a.block_table[static_cast<std::ptrdiff_t>(s) * a.table_stride + t / layout::page];
      const std::size_t at = layout::at(page, kv_head, t % layout::page, a.kv_heads);
      double score = 0;
      for (int d = 0; d < D; ++d)
        score += double{static_cast<float>(q[d])} * double{static_cast<float>(a.k_pages[at + static_cast<std::size_t>(d)])};
      score *= double{a.scale} * scale(a.k_pages, page, kv_head, t % layout::page, a.kv_heads);
      const double higher = std::fmax(top, score), keep = std::exp(top - higher), p = std::exp(score - higher);
      const double weight = p * scale(a.v_pages, page, kv_head, t % layout::page, a.kv_heads);
      sum = sum * keep + p;
      for (int d = 0; d < D; ++d)
        o[d] = o[d] * keep + weight * double{static_cast<float>(a.v_pages[at + static_cast<std::size_t>(d)])};
      top = higher;
    }
    T* to = a.o + (static_cast<std::ptrdiff_t>(row) * a.heads + head) * D;
    for (int d = 0; d < D; ++d) to[d] = T(static_cast<float>(o[d] / sum));
  }

  /// What the elements of a row are multiplied by.
  static double scale(const kernels::cache_element<Kv>* pages, int page, int head, int token, int kv_heads) noexcept {
    if constexpr (kernels::has_scales<Kv>)
      return double{*kernels::KvLayout<Kv, D>::scale(pages, page, head, token, kv_heads)};
    else
      return 1;
  }
};

}  // namespace atom
