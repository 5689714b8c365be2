// Latent attention: rope of pairs, cache write; and attention in its absorbed form. The keys' weights are multiplied into the
// queries, all heads read the cached rows themselves, and the values' weights follow the sum.
#include "atom/core/error.hpp"
#include "atom/ops/mla_gpu.hpp"

#include "latent.hpp"
#include "product.hpp"

namespace atom {
namespace gpu {
namespace {

template <class T> struct RopePairs {
  using Args = typename kernels::rope_pairs<T>::args;
  static constexpr int threads(int) { return row_threads; }
  struct Shared {};
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& a) const {
    const int half = a.rotary_dim / 2, row = cta.block_x(), at = cta.block_y() * cta.threads() + cta.thread();
    if (at >= a.heads * half) return;
    const int head = at / half, i = at % half;
    const float* cos = row_of(a.cos_sin, a.positions[row], a.rotary_dim) + i;
    T* x = row_of(a.x, row, a.ldx) + static_cast<std::ptrdiff_t>(head) * a.ldh + 2 * i;
    const auto even = static_cast<float>(x[0]), odd = static_cast<float>(x[1]);
    x[0] = T(even * cos[0] - odd * cos[half]);
    x[1] = T(odd * cos[0] + even * cos[half]);
  }
};

template <class T, class Kv> struct WriteArgs {
  const T *c, *k_pe;
  Kv* pages;
  const int* slots;
  int width_c, width_r, ldc, ldk;
};
template <class T, class Kv, int N> struct LatentWrite {
  static constexpr int threads(int) { return row_threads; }
  struct Shared {};
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const WriteArgs<T, Kv>& a) const {
    const int row = cta.block_x(), width = a.width_c + a.width_r;
    Kv* to = a.pages + static_cast<std::ptrdiff_t>(a.slots[row]) * width;
    for (int i = cta.thread() * N; i < width; i += cta.threads() * N) {
      const T* from = i < a.width_c ? row_of(a.c, row, a.ldc) + i : row_of(a.k_pe, row, a.ldk) + i - a.width_c;
      store<N>(to + i, converted<Kv>(load<N>(from)));
    }
  }
};

/// One product per head: operands and result of the first, and how far those of the next lie.
struct HeadProducts {
  Product<bf16, bf16> first;
  int heads, x_step, w_step, y_step;
  int* zeros;  // (zero_count): counters for the kernel that follows, set to zero
  int zero_count;
};
template <class Core, int Rows, int Outs> struct Heads {
  using Shared = typename Core::Shared;
  static constexpr int rows = Rows, outs = Outs;
  static constexpr int threads(int wave) { return Core::threads(wave); }
  /// Grid: (heads * blocks of outputs, blocks of rows).
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const HeadProducts& a) const {
    if (cta.block_x() == 0 && cta.block_y() == 0)
      for (int i = cta.thread(); i < a.zero_count; i += cta.threads()) a.zeros[i] = 0;
    const int head = cta.block_x() % a.heads, row0 = cta.block_y() * Rows;
    auto p = a.first;
    p.x += static_cast<std::ptrdiff_t>(row0) * p.ldx + head * a.x_step;
    p.w += static_cast<std::ptrdiff_t>(head) * a.w_step;
    p.y += static_cast<std::ptrdiff_t>(row0) * p.ldy + head * a.y_step;
    p.rows = min(Rows, p.rows - row0);
    Core::run(cta, cta.template shared<Shared>(), p, cta.block_x() / a.heads * Outs);
  }
};
template <class K, class B> void launch_heads(typename B::stream stream, const HeadProducts& a) {
  launch<K, B>(stream, {a.heads * ceil_div(a.first.out, K::outs), ceil_div(a.first.rows, K::rows)}, a);
}

constexpr int most_splits(int blocks) { return min(latent_splits, max(4, ceil_div(512, max(blocks, 1)))); }

/// Where a step's scratch is cut: queries that become answers, parts of answers, counters.
struct Cut {
  std::size_t partials, arrivals, end;
  Cut(int rows, int seqs, int heads, int c) {
    const auto n = [](int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); };
    partials = n(rows, heads) * static_cast<std::size_t>(c) * sizeof(bf16);
    arrivals = partials + n(seqs, heads) * n(latent_splits, latent_partial(c)) * sizeof(float);
    end = arrivals + n(seqs, heads) * sizeof(int);
  }
};

template <int C, int R, class B>
void attend(typename B::stream stream, const kernels::LatentArgs<quant::NoAs<bf16>, bf16, bf16>& a, const kernels::LatentDims& d) {
  constexpr bool narrow = wave_of<B> == 32;  // CDNA has less shared memory
  using Few = LatentCore<C, R, 8, 1, narrow ? 64 : 32, narrow ? 2 : 1>;
  using Many = LatentCore<C, R, 8, narrow ? 4 : 2, narrow ? 32 : 16, narrow ? 2 : 1>;
  constexpr int stages = narrow ? 3 : 1;
  if (a.rows == 0) return;
  ATOM_ASSERT(a.scratch && vectors<8>(a.q, a.ldq) && vectors<8>(a.o, d.v) && vectors<8>(a.w, C),
              "latent_attention on a GPU: needs scratch, and rows aligned to 16 bytes");
  const Cut cut(a.rows, a.seqs, a.heads, C);
  auto* const u = reinterpret_cast<bf16*>(a.scratch);
  auto* const arrivals = reinterpret_cast<int*>(a.scratch + cut.arrivals);
  const int key = d.n + d.r, made = d.n + d.v, counters = a.seqs * a.heads;

  const HeadProducts absorb{
      {a.q, a.w, nullptr, u, a.rows, C, d.n, a.ldq, C, a.heads * C}, a.heads, key, made * C, C, arrivals, counters};
  if (a.rows <= 16)
    launch_heads<Heads<Tiled<bf16, 16, 64, 1, true, 2>, 16, 64>, B>(stream, absorb);
  else
    launch_heads<Heads<Tiled<bf16, 64, 128, 1, true, stages>, 64, 128>, B>(stream, absorb);

  LatentWork work{
      a.q,      u,      a.pages,         a.block_table, a.first_row, a.context, reinterpret_cast<float*>(a.scratch + cut.partials),
      arrivals, a.rows, a.seqs,          a.heads,       a.ldq,       d.n,       a.table_stride,
      a.scale,  0,      a.rows <= a.seqs};
  const auto decode = [&]<class Core>(Core) {
    const int blocks = (work.by_row ? a.rows : a.seqs) * ceil_div(a.heads, Core::queries);
    work.lanes = most_splits(blocks);
    launch<LatentDecode<Core, C>, B>(stream, {blocks, work.lanes}, work);
  };
  if (a.heads <= Few::queries)
    decode(Few{});
  else
    decode(Many{});
  if (!work.by_row) {
    const int tiles = ceil_div(a.rows * a.heads, Many::queries) + a.seqs;  // every sequence may begin one
    launch<LatentPrefill<Many, C>, B>(stream, {tiles, 1}, work);
  }

  const HeadProducts make{
      {u, a.w + static_cast<std::ptrdiff_t>(d.n) * C, nullptr, a.o, a.rows, d.v, C, a.heads * C, C, a.heads * d.v},
      a.heads,
      C,
      made * C,
      d.v,
      nullptr,
      0};
  if (a.rows <= 16)
    launch_heads<Heads<Streamed<bf16, bf16, 1, true>, 16, 16>, B>(stream, make);
  else
    launch_heads<Heads<Tiled<bf16, 64, 128, 1, false, stages>, 64, 128>, B>(stream, make);
}

}  // namespace
}  // namespace gpu

template <gpu::Activation T, gpu::Target B>
void impl<kernels::rope_pairs<T>, B>::run(typename B::stream stream, const typename kernels::rope_pairs<T>::args& a) noexcept {
  gpu::launch<gpu::RopePairs<T>, B>(stream, {a.rows, gpu::ceil_div(a.heads * (a.rotary_dim / 2), gpu::row_threads)}, a);
}

template <gpu::Activation T, gpu::CacheOf<T> Kv, int C, int R, gpu::Target B>
void impl<kernels::latent_write<T, Kv, C, R>, B>::run(typename B::stream stream,
                                                      const typename kernels::latent_write<T, Kv, C, R>::args& a) noexcept {
  constexpr int N = gpu::vector_of<T>;
  const gpu::WriteArgs<T, Kv> w{a.c, a.k_pe, a.pages, a.slots, C, R, a.ldc, a.ldk};
  if (gpu::vectors<N>(a.c, a.ldc) && gpu::vectors<N>(a.k_pe, a.ldk) && gpu::vectors<N>(a.pages, 0) && C % N == 0 && R % N == 0)
    gpu::launch<gpu::LatentWrite<T, Kv, N>, B>(stream, {a.rows, 1}, w);
  else
    gpu::launch<gpu::LatentWrite<T, Kv, 1>, B>(stream, {a.rows, 1}, w);
}

template <int C, int R, int N, int V, gpu::Target B>
requires gpu::is_latent<C, R, N, V> std::size_t
impl<kernels::latent_attention<quant::NoAs<bf16>, bf16, bf16, C, R, N, V>, B>::scratch_bytes(int rows, int seqs, int heads)
noexcept { return gpu::Cut(rows, seqs, heads, C).end; }
template <int C, int R, int N, int V, gpu::Target B>
requires gpu::is_latent<C, R, N, V>
void impl<kernels::latent_attention<quant::NoAs<bf16>, bf16, bf16, C, R, N, V>, B>::run(
    typename B::stream stream, const kernels::LatentArgs<quant::NoAs<bf16>, bf16, bf16>& a) noexcept {
  gpu::attend<C, R, B>(stream, a, {C, R, N, V});
}

}  // namespace atom

ATOM_GPU_KERNEL(atom::kernels::rope_pairs<float>);
ATOM_GPU_KERNEL(atom::kernels::rope_pairs<atom::bf16>);
ATOM_GPU_KERNEL(atom::kernels::latent_write<atom::bf16, atom::bf16, 512, 64>);
ATOM_GPU_KERNEL(atom::kernels::latent_write<atom::bf16, atom::bf16, 128, 32>);
ATOM_GPU_KERNEL(atom::kernels::latent_attention<atom::quant::NoAs<atom::bf16>, atom::bf16, atom::bf16, 512, 64, 128, 128>);
ATOM_GPU_KERNEL(atom::kernels::latent_attention<atom::quant::NoAs<atom::bf16>, atom::bf16, atom::bf16, 128, 32, 64, 64>);
