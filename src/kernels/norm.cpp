#include "cpu/norm.hpp"

#include "atom/ops/norm_cpu.hpp"

#include "cpu/dispatch.hpp"

namespace atom {

using kernels::NormFlags;
using quant::Keep;
using quant::PerToken;

template <NormFlags F, cpu::Output Q, cpu::Activation T>
void impl<kernels::rmsnorm<F, Q, T>, Cpu>::run(Cpu::stream pool, const typename kernels::rmsnorm<F, Q, T>::args& a) noexcept {
  cpu::RmsRows<T> rows{a.x,   F.residual ? a.residual : nullptr, a.w,   a.y,   nullptr, a.scale, a.cols,
                       a.ldx, F.padded ? a.width : a.cols,       a.eps, F.once};
  if constexpr (kernels::rmsnorm<F, Q, T>::quantizes) rows.q = a.q;
  const auto rms =
      cpu::in_force(cpu::Norms<cpu::Avx2, T>::rms, cpu::Norms<cpu::Avx512, T>::rms, cpu::Norms<cpu::Avx512Bf16, T>::rms);
  cpu::for_rows(pool, a.rows, a.cols, [&](int first, int count) { rms(rows, first, count); });
}

template <cpu::Activation T>
void impl<kernels::gated_rmsnorm<T>, Cpu>::run(Cpu::stream pool, const typename kernels::gated_rmsnorm<T>::args& a) noexcept {
  const auto gated =
      cpu::in_force(cpu::Norms<cpu::Avx2, T>::gated, cpu::Norms<cpu::Avx512, T>::gated, cpu::Norms<cpu::Avx512Bf16, T>::gated);
  cpu::for_rows(pool, a.rows, a.heads * a.cols, [&](int first, int count) { gated(a, first, count); });
}

template <cpu::Activation T>
void impl<kernels::layernorm<T>, Cpu>::run(Cpu::stream pool, const typename kernels::layernorm<T>::args& a) noexcept {
  const auto layer =
      cpu::in_force(cpu::Norms<cpu::Avx2, T>::layer, cpu::Norms<cpu::Avx512, T>::layer, cpu::Norms<cpu::Avx512Bf16, T>::layer);
  cpu::for_rows(pool, a.rows, a.cols, [&](int first, int count) { layer(a, first, count); });
}

template struct impl<kernels::rmsnorm<NormFlags{}, Keep, float>, Cpu>;
template struct impl<kernels::rmsnorm<NormFlags{}, Keep, bf16>, Cpu>;
template struct impl<kernels::rmsnorm<NormFlags{}, PerToken<int8>, float>, Cpu>;
template struct impl<kernels::rmsnorm<NormFlags{}, PerToken<int8>, bf16>, Cpu>;
template struct impl<kernels::rmsnorm<NormFlags{.residual = true}, Keep, float>, Cpu>;
template struct impl<kernels::rmsnorm<NormFlags{.residual = true}, Keep, bf16>, Cpu>;
template struct impl<kernels::rmsnorm<NormFlags{.residual = true}, PerToken<int8>, float>, Cpu>;
template struct impl<kernels::rmsnorm<NormFlags{.residual = true}, PerToken<int8>, bf16>, Cpu>;
template struct impl<kernels::rmsnorm<NormFlags{.residual = true, .once = true}, Keep, float>, Cpu>;
template struct impl<kernels::rmsnorm<NormFlags{.residual = true, .once = true}, Keep, bf16>, Cpu>;
template struct impl<kernels::rmsnorm<NormFlags{.residual = true, .once = true}, PerToken<int8>, float>, Cpu>;
template struct impl<kernels::rmsnorm<NormFlags{.residual = true, .once = true}, PerToken<int8>, bf16>, Cpu>;
template struct impl<kernels::rmsnorm<NormFlags{.padded = true}, Keep, float>, Cpu>;
template struct impl<kernels::rmsnorm<NormFlags{.padded = true}, Keep, bf16>, Cpu>;
template struct impl<kernels::rmsnorm<NormFlags{.residual = true, .padded = true}, Keep, float>, Cpu>;
template struct impl<kernels::rmsnorm<NormFlags{.residual = true, .padded = true}, Keep, bf16>, Cpu>;
template struct impl<kernels::rmsnorm<NormFlags{.residual = true, .once = true, .padded = true}, Keep, float>, Cpu>;
template struct impl<kernels::rmsnorm<NormFlags{.residual = true, .once = true, .padded = true}, Keep, bf16>, Cpu>;
template struct impl<kernels::gated_rmsnorm<float>, Cpu>;
template struct impl<kernels::gated_rmsnorm<bf16>, Cpu>;
template struct impl<kernels::layernorm<float>, Cpu>;
template struct impl<kernels::layernorm<bf16>, Cpu>;

}  // namespace atom
