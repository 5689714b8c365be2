#include "atom/ops/linear_cpu.hpp"

#include "cpu/activation.hpp"
#include "cpu/dispatch.hpp"

namespace atom {

namespace {

template <class T> auto quantize_in_force() {
  return cpu::in_force(cpu::Activations<cpu::Avx2, T>::quantize, cpu::Activations<cpu::Avx512, T>::quantize,
                       cpu::Activations<cpu::Avx512Bf16, T>::quantize);
}

}  // namespace

template <class T>
requires(std::same_as<T, float> || std::same_as<T, bf16>) void impl<kernels::quantize<quant::PerToken<int8>, T>, Cpu>::run(
    ThreadPool* pool, const typename kernels::quantize<quant::PerToken<int8>, T>::args& a) noexcept {
  const cpu::QuantizeRows<T> rows{a.x, a.q, a.scale, a.cols, a.ldx};
  const auto quantize = quantize_in_force<T>();
  cpu::for_rows(pool, a.rows, a.cols, [&](int first, int count) { quantize(rows, first, count); });
}

template <class T>
requires(std::same_as<T, float> || std::same_as<T, bf16>) void impl<kernels::quantize<quant::PerToken<int8>, T>, Cpu>::encode_row(
    const T* row, int cols, int8* q, float* scale) noexcept {
  quantize_in_force<T>()({row, q, scale, cols, cols}, 0, 1);
}

template struct impl<kernels::quantize<quant::PerToken<int8>, float>, Cpu>;
template struct impl<kernels::quantize<quant::PerToken<int8>, bf16>, Cpu>;

}  // namespace atom
