// linear, bf16 by bf16, and fused_linear. Few rows: one block streams 16 rows of the weights, every wave its part of k. More, and
// more than 8 times large weights: the vendor's library where it is in use; else tiles of 64 x 64.
#include "atom/gpu/async.hpp"
#include "atom/gpu/gemm.hpp"
#include "atom/gpu/mma.hpp"
#include "atom/ops/linear_gpu.hpp"

#include "gate.hpp"
#include "rows.hpp"

namespace atom {
namespace {

template <class Y> using Args = typename kernels::linear<quant::NoAs<bf16>, bf16, Y>::args;

/// At most 16 rows of x, and what stands around the product.
template <class Y> struct FewRows {
  Args<Y> p;
  const float* norm_w;  // (in), or null
  float eps;
};
template <class Tail> inline constexpr int halves = 1;  // of the outputs, that become one
template <class A> inline constexpr int halves<kernels::Gate<A>> = 2;

/// At most 16 rows of x. The weights are the A operand: a lane brings 8 neighbours along k, 16 bytes, by way of a place in shared
/// memory that is its own, and those fill its slots of two MMAs. That permutes k within blocks of 32, for both operands alike,
/// which a sum does not notice. Waves take neighbouring blocks of k, so that what a thread block asks for at once lies together:
/// many waves with a block or two each on its way read faster than few with more. They are asked for before the kernels in front
/// are done: both stages, or one where x has more rows to hold. Rows: of x, 8 or 16. Rows past the end are read again rather than
/// masked: what they produce is not stored. With a gate, a block has 8 outputs: 8 rows of the first half of the weights, and the 8
/// of the second that belong to them. Normed: every block normalises x, and keeps it in shared memory, while its first weights are
/// on their way.
template <class Y, int Rows, int Threads, class Tail, bool Normed> struct Skinny {
  static constexpr int tile = 16, block_k = 32, outs = tile / halves<Tail>;
  static constexpr bool starts_early = true, both = Rows == 8;
  static constexpr int threads(int) { return Threads; }
  using Weights = gpu::array<bf16, 4 * Threads, 8>;          // two stages, two rows at most, a vector for each thread
  using Partial = gpu::array<float, Threads / 2, Rows + 1>;  // (wave, out), row of x
  static constexpr int apart = 4;                            // vectors between rows, so that lanes find them in other banks
  using Kept = gpu::array<bf16, gpu::normalised / 8 + 8 * apart, 8>;
  struct Plain {
    Weights w;
    Partial partial;
  };
  struct Keeping {
    Weights w;
    gpu::array<float, 32> squares;
    union {  // first the one, behind the products the other
      Kept x;
      Partial partial;
    };
  };
  using Shared = std::conditional_t<Normed, Keeping, Plain>;

  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const FewRows<Y>& args) const {
    constexpr int W = Cta::wave, step = Cta::waves() * block_k;
    using T = gpu::Tile<W>;
    constexpr int x_rows = Rows == 16 ? T::rows : 1;
    const Args<Y>& a = args.p;
    auto& s = cta.template shared<Shared>();
    const int out0 = cta.block_x() * outs, out = a.out / halves<Tail>, lane = cta.lane(), k_lane = T::group(lane) * 8;
    const bf16 *w[T::rows], *x[x_rows];
    ATOM_UNROLL for (int r = 0; r < T::rows; ++r) {
      const int row = T::row(lane, r), o = gpu::min(out0 + row % outs, out - 1) + row / outs * out;
      w[r] = gpu::row_of(a.w, o, a.in) + k_lane;
    }
    ATOM_UNROLL for (int r = 0; r < x_rows; ++r) x[r] = gpu::row_of(a.x, gpu::min(T::row(lane, r), a.rows - 1), a.ldx) + k_lane;
    const auto place = [&](int stage, int r) { return (2 * stage + r) * Threads + cta.thread(); };
    const auto fetch = [&](int k, int stage) {
      if (k < a.in) ATOM_UNROLL for (int r = 0; r < T::rows; ++r) gpu::copy_async<8, true>(s.w, place(stage, r), 0, w[r] + k, true);
      gpu::commit_copies();
    };
    gpu::vec<bf16, 8> wv[T::rows], xv[x_rows] = {};
    const auto load_x = [&](int k) {
      if (k >= a.in) return;
      ATOM_UNROLL for (int r = 0; r < x_rows; ++r) {
        if constexpr (Normed)
          xv[r] = s.x.template load<8>(gpu::min(T::row(lane, r), a.rows - 1) * (a.in / 8 + apart) + (k + k_lane) / 8, 0);
        else
          xv[r] = gpu::load<8>(x[r] + k);
      }
    };
    gpu::FragOut<W> sum;
    int k = cta.wave_id() * block_k;
    fetch(k, 0);
    if constexpr (both) fetch(k + step, 1);
    if constexpr (Normed)
      normalise(cta, s, args);
    else
      cta.after_previous();
    static_assert(outs * Rows <= Threads);  // one sum each; what it is added to comes early
    [[maybe_unused]] float before = 0;
    if constexpr (std::is_same_v<Tail, kernels::Add>)
      if (const int o = cta.thread() % outs, row = cta.thread() / outs; row < a.rows && out0 + o < out)
        before = static_cast<float>(gpu::row_of(a.y, row, a.ldy)[out0 + o]);
    load_x(k);
    for (int stage = 0; k < a.in; stage ^= 1) {
      if constexpr (!both) fetch(k + step, stage ^ 1);
      gpu::wait_copies<1>();
      ATOM_UNROLL for (int r = 0; r < T::rows; ++r) wv[r] = s.w.template load<8>(place(stage, r), 0);
      ATOM_UNROLL for (int half = 0; half < 2; ++half) {
        gpu::FragIn<W> fa, fb;
        ATOM_UNROLL for (int i = 0; i < T::n; ++i) {
          fa.v[i] = wv[T::a_row(i)].v[4 * half + T::a_slot(i)];
          fb.v[i] = T::b_row(i) < x_rows ? xv[T::b_row(i) % x_rows].v[4 * half + T::b_slot(i)] : bf16();
        }
        gpu::mma(cta, sum, fa, fb);
      }
      k += step;
      load_x(k);
      if constexpr (both) fetch(k + step, stage);  // what lay there is used
    }
    gpu::wait_copies<0>();
    if constexpr (Normed) cta.sync();  // x becomes sums
    ATOM_UNROLL for (int i = 0; i < T::n; ++i) {
      const gpu::At at = T::d(lane, i);
      if (at.col < Rows) s.partial.set(cta.wave_id() * tile + at.row, at.col, sum.v[i]);
    }
    cta.sync();
    const int o = cta.thread() % outs, row = cta.thread() / outs;
    if (row >= a.rows || out0 + o >= out) return;
    const auto total = [&](int half) {
      float y = 0;
      for (int wave = 0; wave < Cta::waves(); ++wave) y += s.partial.get(wave * tile + half * outs + o, row);
      return a.bias ? y + a.bias[half * out + out0 + o] : y;
    };
    gpu::row_of(a.y, row, a.ldy)[out0 + o] = tail(Tail{}, total, before);
  }

 private:
  template <class Total> ATOM_DEVICE static Y tail(kernels::Write, Total total, float) { return Y(total(0)); }
  template <class Total> ATOM_DEVICE static Y tail(kernels::Add, Total total, float before) {
    return Y(before + static_cast<float>(Y(total(0))));
  }
  template <class A, class Total> ATOM_DEVICE static Y tail(kernels::Gate<A>, Total total, float) {
    return Y(gpu::gated<Y>(A{}, static_cast<float>(Y(total(0))), static_cast<float>(Y(total(1)))));
  }

  /// All rows at once, each by its share of the waves, two vectors a lane at most. The norm's weights come before the kernels in
  /// front are done.
  template <class Cta> ATOM_DEVICE static void normalise(Cta& cta, Shared& s, const FewRows<Y>& args) {
    const Args<Y>& a = args.p;
    const int each = Cta::waves() / a.rows, row = cta.wave_id() / each, wave = cta.wave_id() % each;
    const int first = (wave * Cta::wave + cta.lane()) * 8, step = each * Cta::wave * 8;
    const bool mine = row < a.rows;
    gpu::vec<float, 8> g[2];
    gpu::vec<bf16, 8> v[2];
    ATOM_UNROLL for (int i = 0; i < 2; ++i) if (mine && first + i * step < a.in) g[i] =
        gpu::load_floats<8>(args.norm_w + first + i * step);
    cta.after_previous();
    ATOM_UNROLL for (int i = 0; i < 2; ++i) if (mine && first + i * step < a.in) v[i] =
        gpu::load<8>(gpu::row_of(a.x, row, a.ldx) + first + i * step);
    float squares = 0;
    ATOM_UNROLL for (int i = 0; i < 2; ++i) if (mine && first + i * step < a.in) ATOM_UNROLL for (int j = 0; j < 8; ++j) squares +=
        static_cast<float>(v[i].v[j]) * static_cast<float>(v[i].v[j]);
    squares = gpu::wave_sum(cta, squares);
    if (cta.lane() == 0) s.squares.set(cta.wave_id(), squares);
    cta.sync();
    float all = 0;
    for (int i = 0; i < each; ++i) all += mine ? s.squares.get(row * each + i) : 0.0f;
    const float inverse = 1.0f / gpu::sqrt(all / static_cast<float>(a.in) + args.eps);
    ATOM_UNROLL for (int i = 0; i < 2; ++i) if (mine && first + i * step < a.in) {
      ATOM_UNROLL for (int j = 0; j < 8; ++j) v[i].v[j] =
          bf16(g[i].v[j] * static_cast<float>(bf16(static_cast<float>(v[i].v[j]) * inverse)));
      s.x.template store<8>(row * (a.in / 8 + apart) + (first + i * step) / 8, 0, v[i]);
    }
    cta.sync();
  }
};

/// Any number of rows: 64 x 64 of y per block, 32 x 32 per wave, k in two stages of 32. Wide: rows are read in vectors.
template <class Y, bool Wide> struct Tiled {
  static constexpr int tile = 64, block_k = 32, padded = block_k + 8, chunks = block_k / 8;
  static constexpr int threads(int wave) { return 4 * wave; }
  struct Shared {
    gpu::array<bf16, 2 * tile, padded> x, w;  // two stages
  };

  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args<Y>& a) const {
    constexpr int W = Cta::wave;
    using T = gpu::Tile<W>;
    auto& s = cta.template shared<Shared>();
    const int row0 = cta.block_y() * tile, out0 = cta.block_x() * tile;
    const int wave_row = cta.wave_id() / 2 * 32, wave_out = cta.wave_id() % 2 * 32;
    const auto fetch = [&](int k0) {
      const int stage = k0 / block_k % 2 * tile;
      for (int i = cta.thread(); k0 < a.in && i < tile * chunks; i += cta.threads()) {
        const int r = i / chunks, c = i % chunks * 8;
        fetch_chunk(s.x, stage + r, c, gpu::row_of(a.x, gpu::min(row0 + r, a.rows - 1), a.ldx), k0 + c,
                    row0 + r < a.rows ? a.in : 0);
        fetch_chunk(s.w, stage + r, c, gpu::row_of(a.w, gpu::min(out0 + r, a.out - 1), a.in), k0 + c, out0 + r < a.out ? a.in : 0);
      }
      gpu::commit_copies();
    };
    gpu::FragOut<W> sum[2][2];
    fetch(0);
    for (int k0 = 0; k0 < a.in; k0 += block_k) {
      fetch(k0 + block_k);
      gpu::wait_copies<1>();
      cta.sync();
      const int stage = k0 / block_k % 2 * tile;
      ATOM_UNROLL for (int k = 0; k < block_k; k += 16) {
        gpu::FragIn<W> fx[2], fw[2];
        ATOM_UNROLL for (int h = 0; h < 2; ++h) {
          fx[h] = gpu::load_a(cta, s.x, stage + wave_row + 16 * h, k);
          fw[h] = gpu::load_b(cta, s.w, stage + wave_out + 16 * h, k);
        }
        ATOM_UNROLL for (int i = 0; i < 2; ++i) ATOM_UNROLL for (int j = 0; j < 2; ++j) gpu::mma(cta, sum[i][j], fx[i], fw[j]);
      }
      cta.sync();
    }
    gpu::wait_copies<0>();
    ATOM_UNROLL for (int i = 0; i < 2; ++i) ATOM_UNROLL for (int j = 0; j < 2; ++j) ATOM_UNROLL for (int e = 0; e < T::n; ++e) {
      const gpu::At at = T::d(cta.lane(), e);
      const int row = row0 + wave_row + 16 * i + at.row, o = out0 + wave_out + 16 * j + at.col;
      if (row < a.rows && o < a.out) gpu::row_of(a.y, row, a.ldy)[o] = Y(sum[i][j].v[e] + (a.bias ? a.bias[o] : 0.0f));
    }
  }

 private:
  /// Eight neighbours of a row of which `end` columns exist.
  ATOM_DEVICE static void fetch_chunk(gpu::array<bf16, 2 * tile, padded>& to, int r, int c, const bf16* row, int k, int end) {
    if constexpr (Wide)
      gpu::copy_async<8>(to, r, c, k < end ? row + k : row, k < end);
    else
      for (int i = 0; i < 8; ++i) to.set(r, c + i, k + i < end ? row[k + i] : bf16());
  }
};

/// y = bias, in front of a product that adds to it. For float alone: measured, the library may round a bf16 product before it adds.
template <class Y> struct SetBias {
  static constexpr int threads(int) { return gpu::row_threads; }
  struct Shared {};
  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args<Y>& a) const {
    const int o = cta.block_x() * cta.threads() + cta.thread();
    if (o >= a.out) return;
    gpu::row_of(a.y, cta.block_y(), a.ldy)[o] = Y(a.bias[o]);
  }
};

/// Few blocks have many waves each. Who normalises needs as many as keep x.
template <int Rows, class Tail, bool Normed, class B, class Y> void skinny(typename B::stream stream, const FewRows<Y>& args) {
  const Args<Y>& a = args.p;
  const gpu::Grid grid{gpu::ceil_div(a.out, 16), 1};
  constexpr int most = gpu::wave_of<B> == 32 ? 1024 : 512;  // CDNA has less shared memory
  if (grid.x <= 128 && a.in >= 1024)                        // about one for each multiprocessor
    return gpu::launch<Skinny<Y, Rows, most, Tail, Normed>, B>(stream, grid, args);
  if (Normed || ((grid.x <= 256 || Rows == 8) && a.in >= 512))
    return gpu::launch<Skinny<Y, Rows, 512, Tail, Normed>, B>(stream, grid, args);
  if constexpr (!Normed) gpu::launch<Skinny<Y, Rows, 256, Tail, Normed>, B>(stream, grid, args);
}
template <class Y, int Rows, class B> void skinny(typename B::stream stream, const Args<Y>& a) {
  skinny<Rows, kernels::Write, false, B>(stream, FewRows<Y>{a, nullptr, 0});
}

}  // namespace

template <gpu::Activation Y, gpu::Target B>
void impl<kernels::linear<quant::NoAs<bf16>, bf16, Y>, B>::run(
    typename B::stream stream, const typename kernels::linear<quant::NoAs<bf16>, bf16, Y>::args& a) noexcept {
  const bool wide = gpu::vectors<8>(a.x, a.ldx) && gpu::vectors<8>(a.w, a.in);
  if (a.rows == 0) return;
  const bool whole = wide && a.in % 32 == 0;
  if (whole && a.rows <= 8) return skinny<Y, 8, B>(stream, a);
  if (whole && a.rows <= gpu::few_rows(a.out, a.in)) return skinny<Y, 16, B>(stream, a);
  if constexpr (std::is_same_v<B, Hip>) {
    constexpr bool float_out = std::is_same_v<Y, float>;
    const gpu::Product product{a.x, a.w, a.y, a.rows, a.out, a.in, a.ldx, a.ldy, float_out, a.bias != nullptr};
    if (wide && (float_out || !a.bias) && gpu::vendor_serves(product)) {
      if constexpr (float_out)
        if (a.bias) gpu::launch<SetBias<Y>, B>(stream, {gpu::ceil_div(a.out, gpu::row_threads), a.rows}, a);
      if (gpu::vendor_gemm(stream, product)) return;
    }
  }
  if (whole && a.rows <= 16) return skinny<Y, 16, B>(stream, a);
  const gpu::Grid grid{gpu::ceil_div(a.out, 64), gpu::ceil_div(a.rows, 64)};
  if (wide)
    gpu::launch<Tiled<Y, true>, B>(stream, grid, a);
  else
    gpu::launch<Tiled<Y, false>, B>(stream, grid, a);
}

template <gpu::Tailed Tail, gpu::Target B>
void impl<kernels::fused_linear<quant::NoAs<bf16>, bf16, Tail>, B>::run(typename B::stream stream, const args& a) noexcept {
  const FewRows<bf16> few{a.product, a.norm_w, a.eps};
  if constexpr (std::is_same_v<Tail, kernels::Write>)
    skinny<8, Tail, true, B>(stream, few);
  else if (a.product.rows <= 8)
    skinny<8, Tail, false, B>(stream, few);
  else
    skinny<16, Tail, false, B>(stream, few);
}

}  // namespace atom

ATOM_GPU_KERNEL(atom::kernels::linear<atom::quant::NoAs<atom::bf16>, atom::bf16, atom::bf16>);
ATOM_GPU_KERNEL(atom::kernels::linear<atom::quant::NoAs<atom::bf16>, atom::bf16, float>);
ATOM_GPU_KERNEL(atom::kernels::fused_linear<atom::quant::NoAs<atom::bf16>, atom::bf16, atom::kernels::Write>);
ATOM_GPU_KERNEL(atom::kernels::fused_linear<atom::quant::NoAs<atom::bf16>, atom::bf16, atom::kernels::Add>);
ATOM_GPU_KERNEL(
    atom::kernels::fused_linear<atom::quant::NoAs<atom::bf16>, atom::bf16, atom::kernels::Gate<atom::activation::Silu>>);
