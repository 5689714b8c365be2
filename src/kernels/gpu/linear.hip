// linear, bf16 by bf16. Few rows: one block streams 16 rows of the weights, every wave its part of k. More: the vendor's library
// where it is in use, or tiles of 64 x 64.
#include "atom/gpu/async.hpp"
#include "atom/gpu/gemm.hpp"
#include "atom/gpu/mma.hpp"
#include "atom/ops/linear_gpu.hpp"

#include "rows.hpp"

namespace atom {
namespace {

template <class Y> using Args = typename kernels::linear<quant::NoAs<bf16>, bf16, Y>::args;

/// At most 16 rows of x. The weights are the A operand, straight from memory: a lane loads 8 neighbours along k, 16 bytes, and
/// those fill its slots of two MMAs. That permutes k within blocks of 32, for both operands alike, which a sum does not notice.
/// Whole: vectors are aligned and in is a multiple of 32. Rows past the end are then read again rather than masked: what they
/// produce is not stored.
template <class Y, bool Whole> struct Skinny {
  static constexpr int tile = 16, block_k = 32, ahead = 4;  // `ahead` blocks of k are loaded before the first is used
  static constexpr int max_waves = 8;
  static constexpr int threads(int) { return tile * tile; }
  struct Shared {
    gpu::array<float, max_waves * tile, tile + 1> partial;  // (wave, out, row of x)
  };

  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args<Y>& a) const {
    constexpr int W = Cta::wave, step = Cta::waves() * block_k;
    using T = gpu::Tile<W>;
    auto& s = cta.template shared<Shared>();
    const int out0 = cta.block_x() * tile, lane = cta.lane(), k_lane = T::group(lane) * 8;
    const bf16 *w[T::rows], *x[T::rows];
    bool w_here[T::rows], x_here[T::rows];
    ATOM_UNROLL for (int r = 0; r < T::rows; ++r) {
      const int row = T::row(lane, r);
      w_here[r] = out0 + row < a.out;
      x_here[r] = row < a.rows;
      w[r] = gpu::row_of(a.w, gpu::min(out0 + row, a.out - 1), a.in);
      x[r] = gpu::row_of(a.x, gpu::min(row, a.rows - 1), a.ldx);
    }
    gpu::FragOut<W> sum;
    // Blocks of k at k0, k0 + step, ...: all their loads, then all their products.
    const auto multiply = [&]<int Blocks>(std::integral_constant<int, Blocks>, int k0) {
      gpu::vec<bf16, 8> wv[Blocks][T::rows], xv[Blocks][T::rows];
      ATOM_UNROLL for (int u = 0; u < Blocks; ++u) ATOM_UNROLL for (int r = 0; r < T::rows; ++r) {
        const int k = k0 + u * step + k_lane;
        if constexpr (Whole) {
          wv[u][r] = gpu::load_once<8>(w[r] + k);
          xv[u][r] = gpu::load<8>(x[r] + k);
        } else {
          wv[u][r] = gpu::load_some<8>(w[r] + k, w_here[r] ? a.in - k : 0);
          xv[u][r] = gpu::load_some<8>(x[r] + k, x_here[r] ? a.in - k : 0);
        }
      }
      ATOM_UNROLL for (int u = 0; u < Blocks; ++u) ATOM_UNROLL for (int half = 0; half < 2; ++half) {
        gpu::FragIn<W> fa, fb;
        ATOM_UNROLL for (int i = 0; i < T::n; ++i) {
          fa.v[i] = wv[u][T::a_row(i)].v[4 * half + T::a_slot(i)];
          fb.v[i] = xv[u][T::b_row(i)].v[4 * half + T::b_slot(i)];
        }
        gpu::mma(cta, sum, fa, fb);
      }
    };
    int k = cta.wave_id() * block_k;
    for (; k + (ahead - 1) * step < a.in; k += ahead * step) multiply(std::integral_constant<int, ahead>{}, k);
    for (; k < a.in; k += step) multiply(std::integral_constant<int, 1>{}, k);
    ATOM_UNROLL for (int i = 0; i < T::n; ++i) {
      const gpu::At at = T::d(lane, i);
      s.partial.set(cta.wave_id() * tile + at.row, at.col, sum.v[i]);
    }
    cta.sync();
    const int o = cta.thread() % tile, row = cta.thread() / tile;
    if (out0 + o >= a.out || row >= a.rows) return;
    float y = 0;
    for (int wave = 0; wave < Cta::waves(); ++wave) y += s.partial.get(wave * tile + o, row);
    if (a.bias) y += a.bias[out0 + o];
    gpu::row_of(a.y, row, a.ldy)[out0 + o] = Y(y);
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

}  // namespace

template <gpu::Activation Y, gpu::Target B>
void impl<kernels::linear<quant::NoAs<bf16>, bf16, Y>, B>::run(
    typename B::stream stream, const typename kernels::linear<quant::NoAs<bf16>, bf16, Y>::args& a) noexcept {
  const bool wide = gpu::vectors<8>(a.x, a.ldx) && gpu::vectors<8>(a.w, a.in);
  if (a.rows <= 16) {
    const gpu::Grid grid{a.rows > 0 ? gpu::ceil_div(a.out, 16) : 0, 1};
    if (wide && a.in % 32 == 0)
      gpu::launch<Skinny<Y, true>, B>(stream, grid, a);
    else
      gpu::launch<Skinny<Y, false>, B>(stream, grid, a);
    return;
  }
  if constexpr (std::is_same_v<B, Hip>) {
    constexpr bool float_out = std::is_same_v<Y, float>;
    const gpu::Product product{a.x, a.w, a.y, a.rows, a.out, a.in, a.ldx, a.ldy, float_out, a.bias != nullptr};
    if (wide && (float_out || !a.bias) && gpu::vendor_serves(product)) {
      if constexpr (float_out)
        if (a.bias) gpu::launch<SetBias<Y>, B>(stream, {gpu::ceil_div(a.out, gpu::row_threads), a.rows}, a);
      if (gpu::vendor_gemm(stream, product)) return;
    }
  }
  const gpu::Grid grid{gpu::ceil_div(a.out, 64), gpu::ceil_div(a.rows, 64)};
  if (wide)
    gpu::launch<Tiled<Y, true>, B>(stream, grid, a);
  else
    gpu::launch<Tiled<Y, false>, B>(stream, grid, a);
}

}  // namespace atom

ATOM_GPU_KERNEL(atom::kernels::linear<atom::quant::NoAs<atom::bf16>, atom::bf16, atom::bf16>);
ATOM_GPU_KERNEL(atom::kernels::linear<atom::quant::NoAs<atom::bf16>, atom::bf16, float>);
