// rope_kv_write: a wave for each head of a row, of q, of k and of v.
#include "atom/ops/attention_gpu.hpp"

#include "rows.hpp"

namespace atom {
namespace {

/// A wave turns a head. Constants and the step's inputs come first, behind them may lie after_previous().
template <class Cta, class T, int D, kernels::RopeFlags F> struct Turn {
  using Args = typename kernels::rope<T, D, F>::args;
  using Heads = gpu::array<float, 4, D>;  // one per wave: pairs lie half a rotation apart, wherever that is
  static constexpr int W = Cta::wave, each = (D + W - 1) / W, pairs = (D / 2 + W - 1) / W;
  float w[each] = {}, cos[pairs] = {}, sine[pairs] = {};

  ATOM_DEVICE Turn(Cta& cta, const Args& a, int row, int head) {
    const int lane = cta.lane(), half = a.rotary_dim / 2;
    const float* angles = gpu::row_of(a.cos_sin, a.positions[row], a.rotary_dim);
    ATOM_UNROLL for (int i = 0; i < pairs; ++i) if (const int p = lane + i * W; p < half) cos[i] = angles[p],
                                                                                          sine[i] = angles[p + half];
    if constexpr (F.qk_norm)
      ATOM_UNROLL for (int i = 0; i < each; ++i) if (const int d = lane + i * W; d < D) w[i] =
          (head < a.heads ? a.q_norm : a.k_norm)[d];
  }
  /// The head at x, normalised where it should be, comes to s; put(d, value) takes what has turned. Rounded or not, as they come.
  template <class Put> ATOM_DEVICE void operator()(Cta& cta, const Args& a, const T* x, Heads& s, Put put) const {
    const int lane = cta.lane(), wave = cta.wave_id(), half = a.rotary_dim / 2;
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
      if (F.qk_norm && d < D && d >= a.rotary_dim) put(d, v[i]);
    }
    cta.wave_sync();
    ATOM_UNROLL for (int i = 0; i < pairs; ++i) {
      const int p = lane + i * W;
      if (p >= half) continue;
      const float left = s.get(wave, p), right = s.get(wave, p + half);
      put(p, left * cos[i] - right * sine[i]);
      put(p + half, right * cos[i] + left * sine[i]);
    }
  }
};

/// Where a wave puts a head's row in the cache, from shared memory.
template <class Cta, class T, class Kv, int D>
ATOM_DEVICE void put_row(Cta& cta, gpu::array<float, 4, D>& s, const typename kernels::kv_write<T, Kv, D>::args& a, bool key,
                         int head, int slot) {
  using layout = kernels::KvLayout<Kv, D>;
  using element = typename layout::element;
  constexpr int W = Cta::wave, each = D / W;
  static_assert(D % W == 0);
  const int page = slot / layout::page, token = slot % layout::page, lane = cta.lane(), wave = cta.wave_id();
  element* pages = key ? a.k_pages : a.v_pages;
  const std::size_t to = layout::at(page, head, token, a.kv_heads);
  if constexpr (kernels::has_scales<Kv>) {
    float v[each], top = 0;
    ATOM_UNROLL for (int i = 0; i < each; ++i) {
      v[i] = s.get(wave, lane + i * W);
      top = gpu::max(top, gpu::abs(v[i]));
    }
    const float scale = gpu::wave_max(cta, top) / gpu::largest_code<element>;
    ATOM_UNROLL for (int i = 0; i < each; ++i) pages[to + static_cast<std::size_t>(lane + i * W)] =
        gpu::code_of<element>(v[i], scale);
    if (lane == 0) *reinterpret_cast<float*>(pages + layout::scale_at(page, head, token, a.kv_heads)) = scale;
  } else {
    ATOM_UNROLL for (int i = 0; i < each; ++i) pages[to + static_cast<std::size_t>(lane + i * W)] = Kv(s.get(wave, lane + i * W));
  }
}

template <class T, class Kv, int D, kernels::RopeFlags F> struct RopeKvWrite {
  using Args = typename kernels::rope_kv_write<T, Kv, D, F>::args;
  static constexpr bool starts_early = true;
  static constexpr int threads(int wave) { return 4 * wave; }
  struct Shared {
    gpu::array<float, 4, D> heads;
  };

  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& args) const {
    const auto& a = args.turn;
    auto& s = cta.template shared<Shared>().heads;
    const int row = cta.block_x(), either = cta.block_y() * Cta::waves() + cta.wave_id(), lane = cta.lane(), wave = cta.wave_id();
    const int turning = a.heads + a.kv_heads;
    const Turn<Cta, T, D, F> turn(cta, a, row, gpu::min(either, turning - 1));
    const int slot = args.store.slots[row];
    cta.after_previous();
    if (either >= turning + a.kv_heads) return;  // the whole wave
    T* x = gpu::row_of(a.qkv, row, a.ld) + either * D;
    if (either < a.heads) return turn(cta, a, x, s, [&](int d, float value) { x[d] = T(value); });
    const bool key = either < turning;
    const int head = either - (key ? a.heads : turning);
    if (key)
      turn(cta, a, x, s, [&](int d, float value) { s.set(wave, d, static_cast<float>(T(value))); });
    else
      for (int d = lane; d < D; d += Cta::wave) s.set(wave, d, static_cast<float>(x[d]));
    cta.wave_sync();
    put_row<Cta, T, Kv, D>(cta, s, args.store, key, head, slot);
    if (args.store.arrivals && key && lane == 0) gpu::row_of(args.store.arrivals, row, a.kv_heads)[head] = 0;
  }
};

}  // namespace

template <gpu::Activation T, gpu::HeadCacheOf<T> Kv, int D, kernels::RopeFlags F, gpu::Target B>
requires gpu::rotates<D, F>
void impl<kernels::rope_kv_write<T, Kv, D, F>, B>::run(typename B::stream stream,
                                                       const typename kernels::rope_kv_write<T, Kv, D, F>::args& a) noexcept {
  gpu::launch<RopeKvWrite<T, Kv, D, F>, B>(stream, {a.turn.rows, gpu::ceil_div(a.turn.heads + 2 * a.turn.kv_heads, 4)}, a);
}

}  // namespace atom

ATOM_GPU_KERNEL(atom::kernels::rope_kv_write<float, float, 64, atom::kernels::RopeFlags{}>);
ATOM_GPU_KERNEL(atom::kernels::rope_kv_write<float, float, 64, atom::kernels::RopeFlags{.qk_norm = true}>);
ATOM_GPU_KERNEL(atom::kernels::rope_kv_write<float, float, 128, atom::kernels::RopeFlags{}>);
ATOM_GPU_KERNEL(atom::kernels::rope_kv_write<float, float, 128, atom::kernels::RopeFlags{.qk_norm = true}>);
ATOM_GPU_KERNEL(atom::kernels::rope_kv_write<float, atom::bf16, 64, atom::kernels::RopeFlags{}>);
ATOM_GPU_KERNEL(atom::kernels::rope_kv_write<float, atom::bf16, 64, atom::kernels::RopeFlags{.qk_norm = true}>);
ATOM_GPU_KERNEL(atom::kernels::rope_kv_write<float, atom::bf16, 128, atom::kernels::RopeFlags{}>);
ATOM_GPU_KERNEL(atom::kernels::rope_kv_write<float, atom::bf16, 128, atom::kernels::RopeFlags{.qk_norm = true}>);
ATOM_GPU_KERNEL(atom::kernels::rope_kv_write<atom::bf16, atom::bf16, 64, atom::kernels::RopeFlags{}>);
ATOM_GPU_KERNEL(atom::kernels::rope_kv_write<atom::bf16, atom::bf16, 64, atom::kernels::RopeFlags{.qk_norm = true}>);
ATOM_GPU_KERNEL(atom::kernels::rope_kv_write<atom::bf16, atom::bf16, 128, atom::kernels::RopeFlags{}>);
ATOM_GPU_KERNEL(atom::kernels::rope_kv_write<atom::bf16, atom::bf16, 128, atom::kernels::RopeFlags{.qk_norm = true}>);
ATOM_GPU_KERNEL(atom::kernels::rope_kv_write<atom::bf16, atom::quant::PerToken<atom::int8>, 64, atom::kernels::RopeFlags{}>);
ATOM_GPU_KERNEL(
    atom::kernels::rope_kv_write<atom::bf16, atom::quant::PerToken<atom::int8>, 64, atom::kernels::RopeFlags{.qk_norm = true}>);
ATOM_GPU_KERNEL(atom::kernels::rope_kv_write<atom::bf16, atom::quant::PerToken<atom::int8>, 128, atom::kernels::RopeFlags{}>);
ATOM_GPU_KERNEL(
    atom::kernels::rope_kv_write<atom::bf16, atom::quant::PerToken<atom::int8>, 128, atom::kernels::RopeFlags{.qk_norm = true}>);
ATOM_GPU_KERNEL(atom::kernels::rope_kv_write<atom::bf16, atom::quant::PerToken<atom::fp8_e4m3>, 64, atom::kernels::RopeFlags{}>);
ATOM_GPU_KERNEL(
    atom::kernels::rope_kv_write<atom::bf16, atom::quant::PerToken<atom::fp8_e4m3>, 64, atom::kernels::RopeFlags{.qk_norm = true}>);
ATOM_GPU_KERNEL(atom::kernels::rope_kv_write<atom::bf16, atom::quant::PerToken<atom::fp8_e4m3>, 128, atom::kernels::RopeFlags{}>);
ATOM_GPU_KERNEL(atom::kernels::rope_kv_write<atom::bf16, atom::quant::PerToken<atom::fp8_e4m3>, 128,
                                             atom::kernels::RopeFlags{.qk_norm = true}>);
