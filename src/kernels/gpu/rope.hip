// rope: one wave per head. kv_write: one block per row, or one wave per row of a head where it quantises.
#include "atom/ops/attention_gpu.hpp"

#include "rows.hpp"

namespace atom {
namespace {

template <class T, int D, kernels::RopeFlags F> struct Rope {
  using Args = typename kernels::rope<T, D, F>::args;
  static constexpr bool starts_early = true;
  static constexpr int threads(int wave) { return 4 * wave; }
  struct Shared {
    gpu::array<float, 4, D> head;  // one per wave: pairs lie half a rotation apart, wherever that is
  };

  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& a) const {
    constexpr int W = Cta::wave, each = (D + W - 1) / W, pairs = (D / 2 + W - 1) / W;
    const int row = cta.block_x(), head = cta.block_y() * Cta::waves() + cta.wave_id(), wave = cta.wave_id(), lane = cta.lane();
    const int half = a.rotary_dim / 2;
    const bool here = head < a.heads + a.kv_heads;
    float w[each] = {}, cos[pairs] = {}, sine[pairs] = {};
    if (here) {  // constants, and the step's inputs
      const float* angles = gpu::row_of(a.cos_sin, a.positions[row], a.rotary_dim);
      ATOM_UNROLL for (int i = 0; i < pairs; ++i) if (const int p = lane + i * W; p < half) cos[i] = angles[p],
                                                                                            sine[i] = angles[p + half];
      if constexpr (F.qk_norm)
        ATOM_UNROLL for (int i = 0; i < each; ++i) if (const int d = lane + i * W; d < D) w[i] =
            (head < a.heads ? a.q_norm : a.k_norm)[d];
    }
    cta.after_previous();
    if (!here) return;  // the whole wave
    auto& s = cta.template shared<Shared>().head;
    T* x = gpu::row_of(a.qkv, row, a.ld) + head * D;
    float v[each], squares = 0;
    ATOM_UNROLL for (int i = 0; i < each; ++i) {
      const int d = lane + i * W;
      v[i] = d < D ? static_cast<float>(x[d]) : 0.0f;
      squares += v[i] * v[i];
    }
    if constexpr (F.qk_norm) {
      const float inverse = 1.0f / gpu::sqrt(gpu::wave_sum(cta, squares) / D + a.eps);
      ATOM_UNROLL for (int i = 0; i < each; ++i) if (lane + i * W < D) v[i] =
          static_cast<float>(T(w[i] * static_cast<float>(T(v[i] * inverse))));
    }
    ATOM_UNROLL for (int i = 0; i < each; ++i) {
      const int d = lane + i * W;
      if (d < D) s.set(wave, d, v[i]);
      if (F.qk_norm && d < D && d >= a.rotary_dim) x[d] = T(v[i]);
    }
    cta.wave_sync();
    ATOM_UNROLL for (int i = 0; i < pairs; ++i) {
      const int p = lane + i * W;
      if (p >= half) continue;
      const float left = s.get(wave, p), right = s.get(wave, p + half);
      x[p] = T(left * cos[i] - right * sine[i]);
      x[p + half] = T(right * cos[i] + left * sine[i]);
    }
  }
};

template <class T, class Kv, int D, int N> struct KvWrite {
  using Args = typename kernels::kv_write<T, Kv, D>::args;
  using layout = kernels::KvLayout<Kv, D>;
  static constexpr int threads(int) { return gpu::row_threads; }
  struct Shared {};

  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& a) const {
    const int row = cta.block_x(), slot = a.slots[row];
    const T *k = gpu::row_of(a.k, row, a.ld), *v = gpu::row_of(a.v, row, a.ld);
    if (a.arrivals)
      for (int h = cta.thread(); h < a.kv_heads; h += cta.threads()) gpu::row_of(a.arrivals, row, a.kv_heads)[h] = 0;
    for (int i = cta.thread() * N; i < a.kv_heads * D; i += cta.threads() * N) {
      const std::size_t to =
          layout::at(slot / layout::page, i / D, slot % layout::page, a.kv_heads) + static_cast<std::size_t>(i % D);
      gpu::store<N>(a.k_pages + to, gpu::converted<Kv>(gpu::load<N>(k + i)));
      gpu::store<N>(a.v_pages + to, gpu::converted<Kv>(gpu::load<N>(v + i)));
    }
  }
};

/// The row of a head, of keys or of values, as codes and a scale.
template <class T, class Kv, int D> struct QuantizedKvWrite {
  using Args = typename kernels::kv_write<T, Kv, D>::args;
  using layout = kernels::KvLayout<Kv, D>;
  using element = typename layout::element;
  static constexpr int threads(int wave) { return 4 * wave; }
  struct Shared {};

  /// Grid: (rows, heads of keys and of values by waves).
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& a) const {
    constexpr int N = D / Cta::wave;
    const int row = cta.block_x(), either = cta.block_y() * Cta::waves() + cta.wave_id(), slot = a.slots[row];
    if (either >= 2 * a.kv_heads) return;  // the whole wave
    const bool key = either < a.kv_heads;
    const int head = key ? either : either - a.kv_heads, page = slot / layout::page, token = slot % layout::page;
    if (a.arrivals && key && cta.lane() == 0) gpu::row_of(a.arrivals, row, a.kv_heads)[head] = 0;
    const T* x = gpu::row_of(key ? a.k : a.v, row, a.ld) + head * D + cta.lane() * N;
    element* pages = key ? a.k_pages : a.v_pages;
    float v[N], top = 0;
    ATOM_UNROLL for (int i = 0; i < N; ++i) {
      v[i] = static_cast<float>(x[i]);
      top = gpu::max(top, gpu::abs(v[i]));
    }
    const float scale = gpu::wave_max(cta, top) / gpu::largest_code<element>;
    gpu::vec<element, N> codes;
    ATOM_UNROLL for (int i = 0; i < N; ++i) codes.v[i] = gpu::code_of<element>(v[i], scale);
    gpu::store<N>(pages + layout::at(page, head, token, a.kv_heads) + cta.lane() * N, codes);
    if (cta.lane() == 0) *reinterpret_cast<float*>(pages + layout::scale_at(page, head, token, a.kv_heads)) = scale;
  }
};

}  // namespace

template <gpu::Activation T, int D, kernels::RopeFlags F, gpu::Target B>
requires gpu::rotates<D, F>
void impl<kernels::rope<T, D, F>, B>::run(typename B::stream stream, const typename kernels::rope<T, D, F>::args& a) noexcept {
  gpu::launch<Rope<T, D, F>, B>(stream, {a.rows, gpu::ceil_div(a.heads + a.kv_heads, 4)}, a);
}

template <gpu::Activation T, gpu::HeadCacheOf<T> Kv, int D, gpu::Target B>
requires gpu::is_head_width<D>
void impl<kernels::kv_write<T, Kv, D>, B>::run(typename B::stream stream,
                                               const typename kernels::kv_write<T, Kv, D>::args& a) noexcept {
  if constexpr (kernels::has_scales<Kv>) {
    gpu::launch<QuantizedKvWrite<T, Kv, D>, B>(stream, {a.rows, gpu::ceil_div(2 * a.kv_heads, 4)}, a);
  } else {
    constexpr int N = sizeof(T) > sizeof(Kv) ? gpu::vector_of<T> : gpu::vector_of<Kv>;
    if (gpu::vectors<N>(a.k, a.ld) && gpu::vectors<N>(a.v, a.ld) && gpu::vectors<N>(a.k_pages, D) && gpu::vectors<N>(a.v_pages, D))
      gpu::launch<KvWrite<T, Kv, D, N>, B>(stream, {a.rows, 1}, a);
    else
      gpu::launch<KvWrite<T, Kv, D, 1>, B>(stream, {a.rows, 1}, a);
  }
}

}  // namespace atom

ATOM_GPU_KERNEL(atom::kernels::rope<float, 64, atom::kernels::RopeFlags{}>);
ATOM_GPU_KERNEL(atom::kernels::rope<float, 64, atom::kernels::RopeFlags{.qk_norm = true}>);
ATOM_GPU_KERNEL(atom::kernels::rope<float, 128, atom::kernels::RopeFlags{}>);
ATOM_GPU_KERNEL(atom::kernels::rope<float, 128, atom::kernels::RopeFlags{.qk_norm = true}>);
ATOM_GPU_KERNEL(atom::kernels::rope<atom::bf16, 64, atom::kernels::RopeFlags{}>);
ATOM_GPU_KERNEL(atom::kernels::rope<atom::bf16, 64, atom::kernels::RopeFlags{.qk_norm = true}>);
ATOM_GPU_KERNEL(atom::kernels::rope<atom::bf16, 128, atom::kernels::RopeFlags{}>);
ATOM_GPU_KERNEL(atom::kernels::rope<atom::bf16, 128, atom::kernels::RopeFlags{.qk_norm = true}>);
ATOM_GPU_KERNEL(atom::kernels::kv_write<float, float, 64>);
ATOM_GPU_KERNEL(atom::kernels::kv_write<float, float, 128>);
ATOM_GPU_KERNEL(atom::kernels::kv_write<float, atom::bf16, 64>);
ATOM_GPU_KERNEL(atom::kernels::kv_write<float, atom::bf16, 128>);
ATOM_GPU_KERNEL(atom::kernels::kv_write<atom::bf16, atom::bf16, 64>);
ATOM_GPU_KERNEL(atom::kernels::kv_write<atom::bf16, atom::bf16, 128>);
ATOM_GPU_KERNEL(atom::kernels::kv_write<atom::bf16, atom::quant::PerToken<atom::int8>, 64>);
ATOM_GPU_KERNEL(atom::kernels::kv_write<atom::bf16, atom::quant::PerToken<atom::int8>, 128>);
ATOM_GPU_KERNEL(atom::kernels::kv_write<atom::bf16, atom::quant::PerToken<atom::fp8_e4m3>, 64>);
ATOM_GPU_KERNEL(atom::kernels::kv_write<atom::bf16, atom::quant::PerToken<atom::fp8_e4m3>, 128>);
