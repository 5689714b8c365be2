#include "cpu/delta_net.hpp"

#include "atom/ops/delta_net_cpu.hpp"
#include "atom/ops/delta_net_ref.hpp"

#include "cpu/dispatch.hpp"

namespace atom {

template <cpu::Activation T>
void impl<kernels::causal_conv<T>, Cpu>::run(Cpu::stream pool, const typename kernels::causal_conv<T>::args& a) noexcept {
  const auto conv = cpu::in_force(cpu::DeltaNet<cpu::Avx2, T>::conv, cpu::DeltaNet<cpu::Avx512, T>::conv);
  const auto block = [&](int chunk, int) {
    const int first = chunk * cpu::conv_block, left = a.channels - first;
    conv(a, first, left < cpu::conv_block ? left : cpu::conv_block);
  };
  pool->parallel((a.channels + cpu::conv_block - 1) / cpu::conv_block, block);
}

// A few numbers per row: the reference serves.
template <cpu::Activation T>
void impl<kernels::delta_gates<T>, Cpu>::run(Cpu::stream pool, const typename kernels::delta_gates<T>::args& a) noexcept {
  constexpr int work = 100;  // of a gate, in the elements that for_rows counts
  cpu::for_rows(pool, a.rows, work * a.heads, [&](int first, int count) {
    auto part = a;
    part.ba += static_cast<std::ptrdiff_t>(first) * a.ld;
    part.decay += static_cast<std::ptrdiff_t>(first) * a.heads;
    part.beta += static_cast<std::ptrdiff_t>(first) * a.heads;
    part.rows = count;
    run_on<kernels::delta_gates<T>, Ref>({}, part);
  });
}

template <cpu::Activation T>
void impl<kernels::gated_delta<T>, Cpu>::run(Cpu::stream pool, const typename kernels::gated_delta<T>::args& a) noexcept {
  const auto rule = cpu::in_force(cpu::DeltaNet<cpu::Avx2, T>::rule, cpu::DeltaNet<cpu::Avx512, T>::rule);
  const int each = cpu::in_force(cpu::DeltaNet<cpu::Avx2, T>::columns, cpu::DeltaNet<cpu::Avx512, T>::columns)();
  const int blocks = (a.value_dim + each - 1) / each;
  pool->parallel(a.past.seqs * a.value_heads * blocks, [&](int chunk, int) {
    const int first = chunk % blocks * each, left = a.value_dim - first;
    rule(a, chunk / blocks / a.value_heads, chunk / blocks % a.value_heads, first, left < each ? left : each);
  });
}

template struct impl<kernels::causal_conv<float>, Cpu>;
template struct impl<kernels::causal_conv<bf16>, Cpu>;
template struct impl<kernels::delta_gates<float>, Cpu>;
template struct impl<kernels::delta_gates<bf16>, Cpu>;
template struct impl<kernels::gated_delta<float>, Cpu>;
template struct impl<kernels::gated_delta<bf16>, Cpu>;

}  // namespace atom
