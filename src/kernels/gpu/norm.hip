// rmsnorm: one block per row, which its threads keep; the second pass finds what is too much for that in the nearest cache.
#include "atom/ops/norm_gpu.hpp"

#include "rows.hpp"

namespace atom {
namespace {

using kernels::NormFlags;
using quant::Keep;
using quant::PerToken;

template <NormFlags F, class Q, class T, int N> struct RmsNorm {
  using op = kernels::rmsnorm<F, Q, T>;
  static constexpr int held = op::quantizes ? 0 : 16 / N;  // vectors that a thread keeps, with their weights
  static constexpr bool starts_early = true;
  static constexpr int threads(int) { return gpu::row_threads; }
  struct Shared {
    gpu::array<float, 8> sums, tops;
  };

  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const typename op::args& a) const {
    auto& s = cta.template shared<Shared>();
    const int row = cta.block_x(), first = cta.thread() * N, step = cta.threads() * N;
    gpu::vec<float, N> w[held + 1];
    gpu::vec<T, N> mine[held + 1], delta[held + 1];
    ATOM_UNROLL for (int i = 0; i < held; ++i) if (first + i * step < a.cols) w[i] = gpu::load_floats<N>(a.w + first + i * step);
    cta.after_previous();

    T* const h = F.residual ? gpu::row_of(a.residual, row, a.cols) : nullptr;
    const T* const x = a.x ? gpu::row_of(a.x, row, a.ldx) : nullptr;
    float squares = 0;
    const auto ask = [&](int c, gpu::vec<T, N>& v, gpu::vec<T, N>& d) {
      v = gpu::load<N>(F.residual ? h + c : x + c);
      if (F.residual && x) d = gpu::load<N>(x + c);
    };
    const auto take = [&](int c, gpu::vec<T, N>& v, const gpu::vec<T, N>& d) {  // v: of what is normalised
      if (F.residual && x) {
        ATOM_UNROLL for (int i = 0; i < N; ++i) v.v[i] = T(static_cast<float>(v.v[i]) + static_cast<float>(d.v[i]));
        gpu::store<N>(h + c, v);
      }
      ATOM_UNROLL for (int i = 0; i < N; ++i) squares += static_cast<float>(v.v[i]) * static_cast<float>(v.v[i]);
    };
    ATOM_UNROLL for (int i = 0; i < held; ++i) if (first + i * step < a.cols) ask(first + i * step, mine[i], delta[i]);
    ATOM_UNROLL for (int i = 0; i < held; ++i) if (first + i * step < a.cols) take(first + i * step, mine[i], delta[i]);
    for (int c = first + held * step; c < a.cols; c += step) ask(c, mine[held], delta[held]), take(c, mine[held], delta[held]);
    const float mean = gpu::block_sum(cta, squares, s.sums) / static_cast<float>(a.cols);
    const float inverse = 1.0f / gpu::sqrt(mean + a.eps);
    const auto weighed = [&](gpu::vec<T, N> v, const gpu::vec<float, N>& by) {
      ATOM_UNROLL for (int i = 0; i < N; ++i) {
        const float z = static_cast<float>(v.v[i]) * inverse;
        v.v[i] = T(by.v[i] * (F.once ? z : static_cast<float>(T(z))));
      }
      return v;
    };
    const auto again = [&](int c) {  // a thread reads what it wrote itself
      return weighed(gpu::load<N>(F.residual ? h + c : x + c), gpu::load_floats<N>(a.w + c));
    };
    if constexpr (op::quantizes) {
      gpu::quantize_row<N>(cta, gpu::row_of(a.q, row, a.cols), a.scale + row, a.cols, s.tops, again);
    } else {
      T* y = gpu::row_of(a.y, row, a.cols);
      ATOM_UNROLL for (int i = 0; i < held; ++i) if (first + i * step < a.cols)
          gpu::store<N>(y + first + i * step, weighed(mine[i], w[i]));
      for (int c = first + held * step; c < a.cols; c += step) gpu::store<N>(y + c, again(c));
    }
  }
};

}  // namespace

template <NormFlags F, class Q, class T, gpu::Target B>
requires gpu::NormOf<F, Q, T>
void impl<kernels::rmsnorm<F, Q, T>, B>::run(typename B::stream stream,
                                             const typename kernels::rmsnorm<F, Q, T>::args& a) noexcept {
  constexpr int N = gpu::vector_of<T>;
  bool wide = gpu::vectors<N>(a.x, a.ldx) && gpu::vectors<4>(a.w, 0) && a.cols % N == 0;
  if constexpr (F.residual) wide = wide && gpu::vectors<N>(a.residual, a.cols);
  if constexpr (kernels::rmsnorm<F, Q, T>::quantizes)
    wide = wide && gpu::vectors<N>(a.q, a.cols);
  else
    wide = wide && gpu::vectors<N>(a.y, a.cols);
  if (wide)
    gpu::launch<RmsNorm<F, Q, T, N>, B>(stream, {a.rows, 1}, a);
  else
    gpu::launch<RmsNorm<F, Q, T, 1>, B>(stream, {a.rows, 1}, a);
}

}  // namespace atom

ATOM_GPU_KERNEL(atom::kernels::rmsnorm<atom::kernels::NormFlags{}, atom::quant::Keep, float>);
ATOM_GPU_KERNEL(atom::kernels::rmsnorm<atom::kernels::NormFlags{}, atom::quant::Keep, atom::bf16>);
ATOM_GPU_KERNEL(atom::kernels::rmsnorm<atom::kernels::NormFlags{}, atom::quant::PerToken<atom::int8>, float>);
ATOM_GPU_KERNEL(atom::kernels::rmsnorm<atom::kernels::NormFlags{}, atom::quant::PerToken<atom::int8>, atom::bf16>);
ATOM_GPU_KERNEL(atom::kernels::rmsnorm<atom::kernels::NormFlags{.residual = true}, atom::quant::Keep, float>);
ATOM_GPU_KERNEL(atom::kernels::rmsnorm<atom::kernels::NormFlags{.residual = true}, atom::quant::Keep, atom::bf16>);
ATOM_GPU_KERNEL(atom::kernels::rmsnorm<atom::kernels::NormFlags{.residual = true}, atom::quant::PerToken<atom::int8>, float>);
ATOM_GPU_KERNEL(atom::kernels::rmsnorm<atom::kernels::NormFlags{.residual = true}, atom::quant::PerToken<atom::int8>, atom::bf16>);
ATOM_GPU_KERNEL(atom::kernels::rmsnorm<atom::kernels::NormFlags{.residual = true, .once = true}, atom::quant::Keep, atom::bf16>);
