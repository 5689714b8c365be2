// fused_linear, bf16: a product of few rows, joined with the norm in front, or with what becomes of its sums.
#include "atom/ops/linear_gpu.hpp"

#include "few_rows.hpp"

template <atom::gpu::Tailed Tail, atom::gpu::Target B>
void atom::impl<atom::kernels::fused_linear<atom::quant::NoAs<atom::bf16>, atom::bf16, Tail>, B>::run(typename B::stream stream,
                                                                                                      const args& a) noexcept {
  if constexpr (std::is_same_v<Tail, kernels::Write>)
    gpu::skinny<Tail, true, B>(stream, gpu::SkinnyArgs<bf16>{a.product, a.norm_w, a.eps});
  else
    gpu::few_rows_product<Tail, B, typename kernels::fused_linear<quant::NoAs<bf16>, bf16, Tail>::output>(stream,
                                                                                                          {a.product, a.best});
}

ATOM_GPU_KERNEL(atom::kernels::fused_linear<atom::quant::NoAs<atom::bf16>, atom::bf16, atom::kernels::Write>);
ATOM_GPU_KERNEL(atom::kernels::fused_linear<atom::quant::NoAs<atom::bf16>, atom::bf16, atom::kernels::Add>);
ATOM_GPU_KERNEL(atom::kernels::fused_linear<atom::quant::NoAs<atom::bf16>, atom::bf16, atom::kernels::Best>);
ATOM_GPU_KERNEL(
    atom::kernels::fused_linear<atom::quant::NoAs<atom::bf16>, atom::bf16, atom::kernels::Gate<atom::activation::Silu>>);
