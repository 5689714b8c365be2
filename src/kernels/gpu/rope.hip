// rope: one wave per head. kv_write: one block per row.
#include "atom/ops/attention_gpu.hpp"

#include "rows.hpp"

namespace atom {
namespace {

template <class T, int D, kernels::RopeFlags F> struct Rope {
  using Args = typename kernels::rope<T, D, F>::args;
  static constexpr int threads(int wave) { return 4 * wave; }
  struct Shared {
    gpu::array<float, 4, D> head;  // one per wave: pairs lie half a rotation apart, wherever that is
  };

  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& a) const {
    const int row = cta.block_x(), head = cta.block_y() * Cta::waves() + cta.wave_id(), wave = cta.wave_id();
    if (head >= a.heads + a.kv_heads) return;  // the whole wave
    auto& s = cta.template shared<Shared>().head;
    T* x = gpu::row_of(a.qkv, row, a.ld) + head * D;
    float v[(D + Cta::wave - 1) / Cta::wave], squares = 0;
    ATOM_UNROLL for (int i = 0; i * Cta::wave < D; ++i) {
      const int d = cta.lane() + i * Cta::wave;
      v[i] = d < D ? static_cast<float>(x[d]) : 0.0f;
      squares += v[i] * v[i];
    }
    if constexpr (F.qk_norm) {
      const float inverse = 1.0f / gpu::sqrt(gpu::wave_sum(cta, squares) / D + a.eps);
      const float* w = head < a.heads ? a.q_norm : a.k_norm;
      ATOM_UNROLL for (int i = 0; i * Cta::wave < D; ++i) {
        const int d = cta.lane() + i * Cta::wave;
        if (d < D) v[i] = static_cast<float>(T(w[d] * static_cast<float>(T(v[i] * inverse))));
      }
    }
    ATOM_UNROLL for (int i = 0; i * Cta::wave < D; ++i) {
      const int d = cta.lane() + i * Cta::wave;
      if (d < D) s.set(wave, d, v[i]);
      if (F.qk_norm && d < D && d >= a.rotary_dim) x[d] = T(v[i]);
    }
    cta.wave_sync();
    const int half = a.rotary_dim / 2;
    const float* cos = gpu::row_of(a.cos_sin, a.positions[row], a.rotary_dim);
    for (int i = cta.lane(); i < half; i += Cta::wave) {
      const float left = s.get(wave, i), right = s.get(wave, i + half), c = cos[i], sine = cos[i + half];
      x[i] = T(left * c - right * sine);
      x[i + half] = T(right * c + left * sine);
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

}  // namespace

template <gpu::Activation T, int D, kernels::RopeFlags F, gpu::Target B>
requires gpu::is_head_width<D>
void impl<kernels::rope<T, D, F>, B>::run(typename B::stream stream, const typename kernels::rope<T, D, F>::args& a) noexcept {
  gpu::launch<Rope<T, D, F>, B>(stream, {a.rows, gpu::ceil_div(a.heads + a.kv_heads, 4)}, a);
}

template <gpu::Activation T, gpu::CacheOf<T> Kv, int D, gpu::Target B>
requires gpu::is_head_width<D>
void impl<kernels::kv_write<T, Kv, D>, B>::run(typename B::stream stream,
                                               const typename kernels::kv_write<T, Kv, D>::args& a) noexcept {
  constexpr int N = sizeof(T) > sizeof(Kv) ? gpu::vector_of<T> : gpu::vector_of<Kv>;
  if (gpu::vectors<N>(a.k, a.ld) && gpu::vectors<N>(a.v, a.ld) && gpu::vectors<N>(a.k_pages, D) && gpu::vectors<N>(a.v_pages, D))
    gpu::launch<KvWrite<T, Kv, D, N>, B>(stream, {a.rows, 1}, a);
  else
    gpu::launch<KvWrite<T, Kv, D, 1>, B>(stream, {a.rows, 1}, a);
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
