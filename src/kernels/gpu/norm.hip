// rmsnorm: one block per row; the second pass finds the row in the nearest cache.
#include "atom/ops/norm_gpu.hpp"

#include "rows.hpp"

namespace atom {
namespace {

using kernels::NormFlags;
using quant::Keep;
using quant::PerToken;

template <NormFlags F, class Q, class T, int N> struct RmsNorm {
  using op = kernels::rmsnorm<F, Q, T>;
  static constexpr int threads(int) { return gpu::row_threads; }
  struct Shared {
    gpu::array<float, 8> sums, tops;
  };

  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const typename op::args& a) const {
    auto& s = cta.template shared<Shared>();
    const int row = cta.block_x(), first = cta.thread() * N, step = cta.threads() * N;
    const T* x;  // what is normalised
    float squares = 0;
    if constexpr (F.residual) {
      T* h = gpu::row_of(a.residual, row, a.cols);
      for (int c = first; c < a.cols; c += step) {
        auto v = gpu::load<N>(h + c);
        if (a.x) {
          const auto delta = gpu::load<N>(gpu::row_of(a.x, row, a.ldx) + c);
          ATOM_UNROLL for (int i = 0; i < N; ++i) v.v[i] = T(static_cast<float>(v.v[i]) + static_cast<float>(delta.v[i]));
          gpu::store<N>(h + c, v);
        }
        squares += squares_of(v);
      }
      x = h;  // a thread reads what it wrote itself
    } else {
      x = gpu::row_of(a.x, row, a.ldx);
      for (int c = first; c < a.cols; c += step) squares += squares_of(gpu::load<N>(x + c));
    }
    const float mean = gpu::block_sum(cta, squares, s.sums) / static_cast<float>(a.cols);
    const float inverse = 1.0f / gpu::sqrt(mean + a.eps);
    const auto normed = [&](int c) {
      auto v = gpu::load<N>(x + c);
      const auto w = gpu::load_floats<N>(a.w + c);
      ATOM_UNROLL for (int i = 0; i < N; ++i) v.v[i] = T(w.v[i] * static_cast<float>(T(static_cast<float>(v.v[i]) * inverse)));
      return v;
    };
    if constexpr (op::quantizes) {
      gpu::quantize_row<N>(cta, gpu::row_of(a.q, row, a.cols), a.scale + row, a.cols, s.tops, normed);
    } else {
      T* y = gpu::row_of(a.y, row, a.cols);
      for (int c = first; c < a.cols; c += step) gpu::store<N>(y + c, normed(c));
    }
  }

 private:
  ATOM_DEVICE static float squares_of(const gpu::vec<T, N>& v) {
    float sum = 0;
    ATOM_UNROLL for (int i = 0; i < N; ++i) sum += static_cast<float>(v.v[i]) * static_cast<float>(v.v[i]);
    return sum;
  }
};

}  // namespace

template <NormFlags F, gpu::Output Q, gpu::Activation T, gpu::Target B>
requires(!F.once) void impl<kernels::rmsnorm<F, Q, T>, B>::run(typename B::stream stream,
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
