#include "cpu/activation.hpp"

#include "atom/ops/activation_cpu.hpp"

#include "cpu/dispatch.hpp"

namespace atom {

template <cpu::Output Q, cpu::Activation T>
void impl<kernels::silu_mul<Q, T>, Cpu>::run(Cpu::stream pool, const typename kernels::silu_mul<Q, T>::args& a) noexcept {
  cpu::SiluRows<T> rows{a.gate_up, a.y, nullptr, a.scale, a.cols, a.ldx};
  if constexpr (kernels::silu_mul<Q, T>::quantizes) rows.q = a.q;
  const auto silu_mul = cpu::in_force(cpu::Activations<cpu::Avx2, T>::silu_mul, cpu::Activations<cpu::Avx512, T>::silu_mul,
                                      cpu::Activations<cpu::Avx512Bf16, T>::silu_mul);
  cpu::for_rows(pool, a.rows, 2 * a.cols, [&](int first, int count) { silu_mul(rows, first, count); });
}

template struct impl<kernels::silu_mul<quant::Keep, float>, Cpu>;
template struct impl<kernels::silu_mul<quant::Keep, bf16>, Cpu>;
template struct impl<kernels::silu_mul<quant::PerToken<int8>, float>, Cpu>;
template struct impl<kernels::silu_mul<quant::PerToken<int8>, bf16>, Cpu>;

}  // namespace atom
