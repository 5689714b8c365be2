#include "cpu/activation.hpp"

#include "atom/ops/activation_cpu.hpp"
#include "atom/ops/activation_ref.hpp"

#include "cpu/dispatch.hpp"

namespace atom {

namespace {
template <class A> inline constexpr bool has_vectors = true;
template <> inline constexpr bool has_vectors<activation::Gelu> = false;  // no model here needs it fast
}  // namespace

template <class A, cpu::Output Q, cpu::Activation T>
void impl<kernels::gate_mul<A, Q, T>, Cpu>::run(Cpu::stream pool, const typename kernels::gate_mul<A, Q, T>::args& a) noexcept {
  if constexpr (!has_vectors<A>) {
    cpu::for_rows(pool, a.rows, 2 * a.cols, [&](int first, int count) {
      auto part = a;
      const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(first) * a.cols;
      part.gate_up += static_cast<std::ptrdiff_t>(first) * a.ldx;
      part.rows = count;
      if constexpr (kernels::gate_mul<A, Q, T>::quantizes)
        part.q += at, part.scale += first;
      else
        part.y += at;
      run_on<kernels::gate_mul<A, Q, T>, Ref>({}, part);
    });
  } else {
    cpu::GateRows<T> rows{a.gate_up, a.y, nullptr, a.scale, a.cols, a.ldx};
    if constexpr (kernels::gate_mul<A, Q, T>::quantizes) rows.q = a.q;
    const auto gate_mul =
        cpu::in_force(cpu::Activations<cpu::Avx2, T>::template gate_mul<A>, cpu::Activations<cpu::Avx512, T>::template gate_mul<A>,
                      cpu::Activations<cpu::Avx512Bf16, T>::template gate_mul<A>);
    cpu::for_rows(pool, a.rows, 2 * a.cols, [&](int first, int count) { gate_mul(rows, first, count); });
  }
}

template <cpu::Activation T>
void impl<kernels::sigmoid_gate<T>, Cpu>::run(Cpu::stream pool, const typename kernels::sigmoid_gate<T>::args& a) noexcept {
  const auto gate = cpu::in_force(cpu::Activations<cpu::Avx2, T>::sigmoid_gate, cpu::Activations<cpu::Avx512, T>::sigmoid_gate,
                                  cpu::Activations<cpu::Avx512Bf16, T>::sigmoid_gate);
  cpu::for_rows(pool, a.rows, a.cols, [&](int first, int count) { gate(a, first, count); });
}

template struct impl<kernels::sigmoid_gate<float>, Cpu>;
template struct impl<kernels::sigmoid_gate<bf16>, Cpu>;
template struct impl<kernels::gate_mul<activation::Silu, quant::Keep, float>, Cpu>;
template struct impl<kernels::gate_mul<activation::Silu, quant::Keep, bf16>, Cpu>;
template struct impl<kernels::gate_mul<activation::Silu, quant::PerToken<int8>, float>, Cpu>;
template struct impl<kernels::gate_mul<activation::Silu, quant::PerToken<int8>, bf16>, Cpu>;
template struct impl<kernels::gate_mul<activation::Gelu, quant::Keep, float>, Cpu>;
template struct impl<kernels::gate_mul<activation::Gelu, quant::Keep, bf16>, Cpu>;
template struct impl<kernels::gate_mul<activation::Gelu, quant::PerToken<int8>, float>, Cpu>;
template struct impl<kernels::gate_mul<activation::Gelu, quant::PerToken<int8>, bf16>, Cpu>;
template struct impl<kernels::gate_mul<activation::ClampedSwiglu, quant::Keep, float>, Cpu>;
template struct impl<kernels::gate_mul<activation::ClampedSwiglu, quant::Keep, bf16>, Cpu>;
template struct impl<kernels::gate_mul<activation::ClampedSwiglu, quant::PerToken<int8>, float>, Cpu>;
template struct impl<kernels::gate_mul<activation::ClampedSwiglu, quant::PerToken<int8>, bf16>, Cpu>;

}  // namespace atom
