// linear of float weights and bf16 rows, in float arithmetic: routers. Weights are split into bf16 on their way to the matrix unit.
#include "atom/ops/linear_gpu.hpp"

#include "product.hpp"

namespace atom {
namespace {

using Args = kernels::linear<quant::NoAs<float>, bf16, float>::args;

template <int Tiles, bool Whole> struct FloatRows {
  using Core = gpu::Streamed<float, float, Tiles, Whole>;
  using Shared = typename Core::Shared;
  static constexpr int threads(int wave) { return Core::threads(wave); }
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& a) const {
    const int row0 = cta.block_y() * Core::rows;
    Core::run(cta, cta.template shared<Shared>(),
              {gpu::row_of(a.x, row0, a.ldx), a.w, a.bias, gpu::row_of(a.y, row0, a.ldy), gpu::min(a.rows - row0, Core::rows),
               a.out, a.in, a.ldx, a.in, a.ldy},
              cta.block_x() * Core::tile);
  }
};

}  // namespace

template <gpu::Target B>
void impl<kernels::linear<quant::NoAs<float>, bf16, float>, B>::run(typename B::stream stream, const Args& a) noexcept {
  const auto launch = [&]<class K>(K) {
    gpu::launch<K, B>(stream, {gpu::ceil_div(a.out, K::Core::tile), gpu::ceil_div(a.rows, K::Core::rows)}, a);
  };
  const bool whole = gpu::vectors<8>(a.x, a.ldx) && gpu::vectors<4>(a.w, a.in) && a.in % 32 == 0;
  if (!whole)
    launch(FloatRows<1, false>{});
  else if (a.rows <= 16)
    launch(FloatRows<1, true>{});
  else
    launch(FloatRows<4, true>{});
}

}  // namespace atom

ATOM_GPU_KERNEL(atom::kernels::linear<atom::quant::NoAs<float>, atom::bf16, float>);
