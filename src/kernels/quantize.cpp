#include "atom/ops/linear_cpu.hpp"

#include "cpu/activation.hpp"
#include "cpu/dispatch.hpp"

namespace atom {

template <class T>
requires(std::same_as<T, float> || std::same_as<T, bf16>) void impl<kernels::quantize<quant::PerToken<int8>, T>, Cpu>::run(
    ThreadPool* pool, const typename kernels::quantize<quant::PerToken<int8>, T>::args& a) noexcept {
  const cpu::QuantizeRows<T> rows{a.x, a.q, a.scale, a.cols, a.ldx};
  const auto quantize = cpu::in_force(cpu::Activations<cpu::Avx2, T>::quantize, cpu::Activations<cpu::Avx512, T>::quantize);
  cpu::for_rows(pool, a.rows, a.cols, [&](int first, int count) { quantize(rows, first, count); });
}

template struct impl<kernels::quantize<quant::PerToken<int8>, float>, Cpu>;
template struct impl<kernels::quantize<quant::PerToken<int8>, bf16>, Cpu>;

}  // namespace atom
