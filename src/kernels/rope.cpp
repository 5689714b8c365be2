#include "cpu/rope.hpp"

#include <cstring>

#include "atom/ops/attention_cpu.hpp"

#include "cpu/convert.hpp"
#include "cpu/dispatch.hpp"

namespace atom {

template <cpu::Activation T, int D, kernels::RopeFlags F>
void impl<kernels::rope<T, D, F>, Cpu>::run(Cpu::stream pool, const typename kernels::rope<T, D, F>::args& a) noexcept {
  static_assert(D <= cpu::widest_head);
  const cpu::RopeRows<T> rows{
      a.qkv, a.positions,  a.cos_sin, F.qk_norm ? a.q_norm : nullptr, F.qk_norm ? a.k_norm : nullptr, D, a.heads, a.kv_heads,
      a.ld,  a.rotary_dim, a.eps};
  const auto rotate =
      cpu::in_force(cpu::Rope<cpu::Avx2, T>::rotate, cpu::Rope<cpu::Avx512, T>::rotate, cpu::Rope<cpu::Avx512Bf16, T>::rotate);
  cpu::for_rows(pool, a.rows, (a.heads + a.kv_heads) * D, [&](int first, int count) { rotate(rows, first, count); });
}

template <cpu::Activation T, cpu::CacheOf<T> Kv, int D>
void impl<kernels::kv_write<T, Kv, D>, Cpu>::run(Cpu::stream pool, const typename kernels::kv_write<T, Kv, D>::args& a) noexcept {
  using layout = kernels::KvLayout<Kv, D>;
  const auto copy = [] {
    if constexpr (std::same_as<T, Kv>)
      return [](const T* from, Kv* to, int n) { std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(Kv)); };
    else
      return cpu::in_force(cpu::Convert<cpu::Avx2, T, Kv>::row, cpu::Convert<cpu::Avx512, T, Kv>::row);
  }();
  cpu::for_rows(pool, a.rows, 2 * a.kv_heads * D, [&](int first, int count) {
    for (int r = first; r < first + count; ++r)
      for (int h = 0; h < a.kv_heads; ++h) {
        const std::size_t to = layout::at(a.slots[r] / layout::page, h, a.slots[r] % layout::page, a.kv_heads);
        const std::ptrdiff_t from = static_cast<std::ptrdiff_t>(r) * a.ld + static_cast<std::ptrdiff_t>(h) * D;
        copy(a.k + from, a.k_pages + to, D);
        copy(a.v + from, a.v_pages + to, D);
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

}  // namespace atom
