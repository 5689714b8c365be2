#include "cpu/rope.hpp"

#include <cstring>

#include "atom/ops/attention_cpu.hpp"

#include "cpu/convert.hpp"
#include "cpu/dispatch.hpp"

namespace atom {

template <cpu::Activation T, int D, kernels::RopeFlags F>
void impl<kernels::rope<T, D, F>, Cpu>::run(Cpu::stream pool, const typename kernels::rope<T, D, F>::args& a) noexcept {
  static_assert(D <= cpu::widest_head);
  const cpu::RopeRows<T> rows{a.qkv,
                              a.positions,
                              a.cos_sin,
                              F.qk_norm ? a.q_norm : nullptr,
                              F.qk_norm ? a.k_norm : nullptr,
                              D,
                              a.heads,
                              a.kv_heads,
                              a.ld,
                              a.rotary_dim,
                              a.eps,
                              F.once};
  const auto rotate =
      cpu::in_force(cpu::Rope<cpu::Avx2, T>::rotate, cpu::Rope<cpu::Avx512, T>::rotate, cpu::Rope<cpu::Avx512Bf16, T>::rotate);
  cpu::for_rows(pool, a.rows, (a.heads + a.kv_heads) * D, [&](int first, int count) { rotate(rows, first, count); });
}

template <cpu::Activation T, cpu::HeadCacheOf<T> Kv, int D>
void impl<kernels::kv_write<T, Kv, D>, Cpu>::run(Cpu::stream pool, const typename kernels::kv_write<T, Kv, D>::args& a) noexcept {
  using layout = kernels::KvLayout<Kv, D>;
  using E = kernels::cache_element<Kv>;
  const auto copy = [] {
    if constexpr (kernels::has_scales<Kv>)
      return cpu::in_force(cpu::Quantize<cpu::Avx2, T, E>::row, cpu::Quantize<cpu::Avx512, T, E>::row);
    else if constexpr (std::same_as<T, E>)
      return [](const T* from, E* to, int n) { std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(E)); };
    else
      return cpu::in_force(cpu::Convert<cpu::Avx2, T, E>::row, cpu::Convert<cpu::Avx512, T, E>::row);
  }();
  const auto put = [&](const T* from, E* pages, int r, int h) {
    const int page = a.slots[r] / layout::page, token = a.slots[r] % layout::page;
    E* to = pages + layout::at(page, h, token, a.kv_heads);
    if constexpr (kernels::has_scales<Kv>)
      *layout::scale(pages, page, h, token, a.kv_heads) = copy(from, to, D);
    else
      copy(from, to, D);
  };
  cpu::for_rows(pool, a.rows, 2 * a.kv_heads * D, [&](int first, int count) {
    for (int r = first; r < first + count; ++r)
      for (int h = 0; h < a.kv_heads; ++h) {
        const std::ptrdiff_t from = static_cast<std::ptrdiff_t>(r) * a.ld + static_cast<std::ptrdiff_t>(h) * D;
        put(a.k + from, a.k_pages, r, h);
        put(a.v + from, a.v_pages, r, h);
      }
  });
}

using kernels::RopeFlags;
template struct impl<kernels::rope<float, 16, RopeFlags{}>, Cpu>;
template struct impl<kernels::rope<float, 32, RopeFlags{}>, Cpu>;
template struct impl<kernels::rope<float, 64, RopeFlags{}>, Cpu>;
template struct impl<kernels::rope<float, 96, RopeFlags{}>, Cpu>;
template struct impl<kernels::rope<float, 128, RopeFlags{}>, Cpu>;
template struct impl<kernels::rope<float, 256, RopeFlags{}>, Cpu>;
template struct impl<kernels::rope<float, 16, RopeFlags{.qk_norm = true}>, Cpu>;
template struct impl<kernels::rope<float, 32, RopeFlags{.qk_norm = true}>, Cpu>;
template struct impl<kernels::rope<float, 64, RopeFlags{.qk_norm = true}>, Cpu>;
template struct impl<kernels::rope<float, 96, RopeFlags{.qk_norm = true}>, Cpu>;
template struct impl<kernels::rope<float, 128, RopeFlags{.qk_norm = true}>, Cpu>;
template struct impl<kernels::rope<float, 256, RopeFlags{.qk_norm = true}>, Cpu>;
template struct impl<kernels::rope<bf16, 16, RopeFlags{}>, Cpu>;
template struct impl<kernels::rope<bf16, 32, RopeFlags{}>, Cpu>;
template struct impl<kernels::rope<bf16, 64, RopeFlags{}>, Cpu>;
template struct impl<kernels::rope<bf16, 96, RopeFlags{}>, Cpu>;
template struct impl<kernels::rope<bf16, 128, RopeFlags{}>, Cpu>;
template struct impl<kernels::rope<bf16, 256, RopeFlags{}>, Cpu>;
template struct impl<kernels::rope<bf16, 16, RopeFlags{.qk_norm = true}>, Cpu>;
template struct impl<kernels::rope<bf16, 32, RopeFlags{.qk_norm = true}>, Cpu>;
template struct impl<kernels::rope<bf16, 64, RopeFlags{.qk_norm = true}>, Cpu>;
template struct impl<kernels::rope<bf16, 96, RopeFlags{.qk_norm = true}>, Cpu>;
template struct impl<kernels::rope<bf16, 128, RopeFlags{.qk_norm = true}>, Cpu>;
template struct impl<kernels::rope<bf16, 256, RopeFlags{.qk_norm = true}>, Cpu>;

template struct impl<kernels::rope<float, 64, RopeFlags{.qk_norm = true, .once = true}>, Cpu>;
template struct impl<kernels::rope<float, 256, RopeFlags{.qk_norm = true, .once = true}>, Cpu>;
template struct impl<kernels::rope<bf16, 64, RopeFlags{.qk_norm = true, .once = true}>, Cpu>;
template struct impl<kernels::rope<bf16, 256, RopeFlags{.qk_norm = true, .once = true}>, Cpu>;

template struct impl<kernels::kv_write<float, float, 16>, Cpu>;
template struct impl<kernels::kv_write<float, float, 32>, Cpu>;
template struct impl<kernels::kv_write<float, float, 64>, Cpu>;
template struct impl<kernels::kv_write<float, float, 96>, Cpu>;
template struct impl<kernels::kv_write<float, float, 128>, Cpu>;
template struct impl<kernels::kv_write<float, float, 256>, Cpu>;
template struct impl<kernels::kv_write<bf16, bf16, 16>, Cpu>;
template struct impl<kernels::kv_write<bf16, bf16, 32>, Cpu>;
template struct impl<kernels::kv_write<bf16, bf16, 64>, Cpu>;
template struct impl<kernels::kv_write<bf16, bf16, 96>, Cpu>;
template struct impl<kernels::kv_write<bf16, bf16, 128>, Cpu>;
template struct impl<kernels::kv_write<bf16, bf16, 256>, Cpu>;
template struct impl<kernels::kv_write<float, bf16, 16>, Cpu>;
template struct impl<kernels::kv_write<float, bf16, 32>, Cpu>;
template struct impl<kernels::kv_write<float, bf16, 64>, Cpu>;
template struct impl<kernels::kv_write<float, bf16, 96>, Cpu>;
template struct impl<kernels::kv_write<float, bf16, 128>, Cpu>;
template struct impl<kernels::kv_write<float, bf16, 256>, Cpu>;
template struct impl<kernels::kv_write<bf16, quant::PerToken<int8>, 16>, Cpu>;
template struct impl<kernels::kv_write<bf16, quant::PerToken<int8>, 32>, Cpu>;
template struct impl<kernels::kv_write<bf16, quant::PerToken<int8>, 64>, Cpu>;
template struct impl<kernels::kv_write<bf16, quant::PerToken<int8>, 96>, Cpu>;
template struct impl<kernels::kv_write<bf16, quant::PerToken<int8>, 128>, Cpu>;
template struct impl<kernels::kv_write<bf16, quant::PerToken<int8>, 256>, Cpu>;
template struct impl<kernels::kv_write<bf16, quant::PerToken<fp8_e4m3>, 16>, Cpu>;
template struct impl<kernels::kv_write<bf16, quant::PerToken<fp8_e4m3>, 32>, Cpu>;
template struct impl<kernels::kv_write<bf16, quant::PerToken<fp8_e4m3>, 64>, Cpu>;
template struct impl<kernels::kv_write<bf16, quant::PerToken<fp8_e4m3>, 96>, Cpu>;
template struct impl<kernels::kv_write<bf16, quant::PerToken<fp8_e4m3>, 128>, Cpu>;
template struct impl<kernels::kv_write<bf16, quant::PerToken<fp8_e4m3>, 256>, Cpu>;

}  // namespace atom
