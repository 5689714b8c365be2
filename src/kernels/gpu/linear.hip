// linear, bf16 by bf16. Few rows: own kernels that read the weights once (few_rows.hpp). More: the vendor's library
// where it is in use; else tiles of 64 x 64.
#include "atom/gpu/async.hpp"
#include "atom/gpu/gemm.hpp"
#include "atom/gpu/mma.hpp"
#include "atom/ops/linear_gpu.hpp"

#include "few_rows.hpp"

namespace atom {
namespace {

template <class Y> using Args = typename kernels::linear<quant::NoAs<bf16>, bf16, Y>::args;

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
  if (a.rows == 0) return;
  const bool wide = gpu::vectors<8>(a.x, a.ldx) && gpu::vectors<8>(a.w, a.in);
  if (wide && gpu::few_rows<kernels::Write, B>(a)) return gpu::few_rows_product<kernels::Write, B, Y>(stream, {a, nullptr});
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
