// gate_mul: one block per row, or, where nothing needs the whole row, per piece of a row.
#include "atom/ops/activation_gpu.hpp"

#include "gate.hpp"
#include "rows.hpp"

namespace atom {
namespace {

template <class A, class Q, class T, int N> struct GateMul {
  using op = kernels::gate_mul<A, Q, T>;
  static constexpr int threads(int) { return gpu::row_threads; }
  struct Shared {
    gpu::array<float, 8> tops;
  };

  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const typename op::args& a) const {
    const int row = cta.block_x();
    const T* gate = gpu::row_of(a.gate_up, row, a.ldx);
    const T* up = gate + a.cols;
    const auto value = [&](int c) {
      auto g = gpu::load<N>(gate + c);
      const auto u = gpu::load<N>(up + c);
      ATOM_UNROLL for (int i = 0; i < N; ++i) g.v[i] =
          T(gpu::gated<T>(A{}, static_cast<float>(g.v[i]), static_cast<float>(u.v[i])));
      return g;
    };
    if constexpr (op::quantizes) {
      auto& s = cta.template shared<Shared>();
      gpu::quantize_row<N>(cta, gpu::row_of(a.q, row, a.cols), a.scale + row, a.cols, s.tops, value);
    } else {
      const int c = (cta.block_y() * cta.threads() + cta.thread()) * N;
      if (c < a.cols) gpu::store<N>(gpu::row_of(a.y, row, a.cols) + c, value(c));
    }
  }
};

template <class A, class Q, class T, int N, class B>
void launch(typename B::stream stream, const typename kernels::gate_mul<A, Q, T>::args& a) {
  const int pieces = kernels::gate_mul<A, Q, T>::quantizes ? 1 : gpu::ceil_div(a.cols, gpu::row_threads * N);
  gpu::launch<GateMul<A, Q, T, N>, B>(stream, {a.rows, pieces}, a);
}

}  // namespace

template <class A, gpu::Output Q, gpu::Activation T, gpu::Target B>
requires gpu::Gated<A, Q>
void impl<kernels::gate_mul<A, Q, T>, B>::run(typename B::stream stream,
                                              const typename kernels::gate_mul<A, Q, T>::args& a) noexcept {
  constexpr int N = gpu::vector_of<T>;
  bool wide = gpu::vectors<N>(a.gate_up, a.ldx) && a.cols % N == 0;
  if constexpr (kernels::gate_mul<A, Q, T>::quantizes)
    wide = wide && gpu::vectors<N>(a.q, a.cols);
  else
    wide = wide && gpu::vectors<N>(a.y, a.cols);
  if (wide)
    launch<A, Q, T, N, B>(stream, a);
  else
    launch<A, Q, T, 1, B>(stream, a);
}

}  // namespace atom

ATOM_GPU_KERNEL(atom::kernels::silu_mul<atom::quant::Keep, float>);
ATOM_GPU_KERNEL(atom::kernels::silu_mul<atom::quant::Keep, atom::bf16>);
ATOM_GPU_KERNEL(atom::kernels::silu_mul<atom::quant::PerToken<atom::int8>, float>);
ATOM_GPU_KERNEL(atom::kernels::silu_mul<atom::quant::PerToken<atom::int8>, atom::bf16>);
ATOM_GPU_KERNEL(atom::kernels::gate_mul<atom::activation::ClampedSwiglu, atom::quant::Keep, float>);
ATOM_GPU_KERNEL(atom::kernels::gate_mul<atom::activation::ClampedSwiglu, atom::quant::Keep, atom::bf16>);
