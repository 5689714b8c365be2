// embed, gather_rows and join_rows: rows copied, and converted on the way. transfer: a vector a thread, so that the host is
// asked once.
#include "atom/ops/embedding_gpu.hpp"

#include "rows.hpp"

namespace atom {
namespace {

template <class W, class T> struct CopyRows {
  const W* from;     // (vocab, cols), row stride ld
  const int* index;  // (rows)
  T* to;             // (rows, cols)
  int rows, cols, ld, first, vocab;
};

template <class W, class T, int N> struct Copy {
  static constexpr int threads(int) { return gpu::row_threads; }
  struct Shared {};
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const CopyRows<W, T>& a) const {
    const int row = a.index[cta.block_x()] - a.first;
    const bool here = row >= 0 && row < a.vocab;
    const W* from = gpu::row_of(a.from, here ? row : 0, a.ld);
    T* to = gpu::row_of(a.to, cta.block_x(), a.cols);
    for (int c = cta.thread() * N; c < a.cols; c += cta.threads() * N) {
      if (here)
        gpu::store<N>(to + c, gpu::converted<T>(gpu::load<N>(from + c)));
      else
        gpu::store<N>(to + c, gpu::vec<T, N>{});
    }
  }
};

template <int N> struct Transfer {
  static constexpr int threads(int) { return gpu::row_threads; }
  struct Shared {};
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const kernels::transfer::args& a) const {
    const int first = (cta.block_x() * cta.threads() + cta.thread()) * N;
    if (first + N <= a.n)
      move<N>(a, first);
    else
      for (int i = first; i < a.n; ++i) move<1>(a, i);
  }
  template <int M> ATOM_DEVICE static void move(const kernels::transfer::args& a, int first) {
    auto v = gpu::load_once<M>(a.from + first);
    int carried[M];
    ATOM_UNROLL for (int i = 0; i < M; ++i) carried[i] = first + i < a.rows ? a.carried[first + i] : -1;
    ATOM_UNROLL for (int i = 0; i < M; ++i) if (carried[i] >= 0) v.v[i] = a.drawn[carried[i]];
    gpu::store<M>(a.to + first, v);
  }
};

template <class T, int N> struct Join {
  static constexpr int threads(int) { return gpu::row_threads; }
  struct Shared {};
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const typename kernels::join_rows<T>::args& a) const {
    const T* from = gpu::row_of(cta.block_y() == 0 ? a.left : a.right, cta.block_x(), a.cols);
    T* to = gpu::row_of(a.y, cta.block_x(), 2 * a.cols) + cta.block_y() * a.cols;
    for (int c = cta.thread() * N; c < a.cols; c += cta.threads() * N) gpu::store<N>(to + c, gpu::load<N>(from + c));
  }
};

template <class B, class W, class T> void copy_rows(typename B::stream stream, const CopyRows<W, T>& a) {
  constexpr int N = sizeof(W) > sizeof(T) ? gpu::vector_of<W> : gpu::vector_of<T>;
  if (gpu::vectors<N>(a.from, a.ld) && gpu::vectors<N>(a.to, a.cols))
    gpu::launch<Copy<W, T, N>, B>(stream, {a.rows, 1}, a);
  else
    gpu::launch<Copy<W, T, 1>, B>(stream, {a.rows, 1}, a);
}

}  // namespace

template <gpu::Table W, gpu::Activation T, gpu::Target B>
void impl<kernels::embed<W, T>, B>::run(typename B::stream stream, const typename kernels::embed<W, T>::args& a) noexcept {
  copy_rows<B>(stream, CopyRows<W, T>{a.table, a.tokens, a.y, a.rows, a.cols, a.cols, a.first, a.vocab});
}

template <gpu::Activation T, gpu::Target B>
void impl<kernels::gather_rows<T>, B>::run(typename B::stream stream, const typename kernels::gather_rows<T>::args& a) noexcept {
  copy_rows<B>(stream, CopyRows<T, T>{a.x, a.index, a.y, a.rows, a.cols, a.ldx, 0, 0x7fffffff});
}

template <gpu::Target B>
void impl<kernels::transfer, B>::run(typename B::stream stream, const kernels::transfer::args& a) noexcept {
  constexpr int N = gpu::vector_of<int>;
  if (gpu::vectors<N>(a.from, 0) && gpu::vectors<N>(a.to, 0))
    gpu::launch<Transfer<N>, B>(stream, {gpu::ceil_div(a.n, N * gpu::row_threads), 1}, a);
  else
    gpu::launch<Transfer<1>, B>(stream, {gpu::ceil_div(a.n, gpu::row_threads), 1}, a);
}

template <gpu::Activation T, gpu::Target B>
void impl<kernels::join_rows<T>, B>::run(typename B::stream stream, const typename kernels::join_rows<T>::args& a) noexcept {
  constexpr int N = gpu::vector_of<T>;
  if (gpu::vectors<N>(a.left, a.cols) && gpu::vectors<N>(a.right, a.cols) && gpu::vectors<N>(a.y, a.cols))
    gpu::launch<Join<T, N>, B>(stream, {a.rows, 2}, a);
  else
    gpu::launch<Join<T, 1>, B>(stream, {a.rows, 2}, a);
}

}  // namespace atom

ATOM_GPU_KERNEL(atom::kernels::embed<float, float>);
ATOM_GPU_KERNEL(atom::kernels::embed<atom::bf16, float>);
ATOM_GPU_KERNEL(atom::kernels::embed<atom::fp16, float>);
ATOM_GPU_KERNEL(atom::kernels::embed<float, atom::bf16>);
ATOM_GPU_KERNEL(atom::kernels::embed<atom::bf16, atom::bf16>);
ATOM_GPU_KERNEL(atom::kernels::embed<atom::fp16, atom::bf16>);
ATOM_GPU_KERNEL(atom::kernels::gather_rows<float>);
ATOM_GPU_KERNEL(atom::kernels::gather_rows<atom::bf16>);
ATOM_GPU_KERNEL(atom::kernels::transfer);
ATOM_GPU_KERNEL(atom::kernels::join_rows<float>);
ATOM_GPU_KERNEL(atom::kernels::join_rows<atom::bf16>);
