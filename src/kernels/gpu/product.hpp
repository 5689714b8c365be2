#pragma once
// Products of blocks of rows: what experts and heads, each with a matrix of its own, share.
// One idea: a block is told which product is its own, so many small ones are one launch. Few rows are multiplied while the weights
// stream by once; many in tiles, over stages in shared memory.
#include "atom/gpu/async.hpp"
#include "atom/gpu/mma.hpp"

#include "rows.hpp"

namespace atom::gpu {

/// y = x · wᵀ (+ bias); rows lie so many elements apart.
template <class W, class Y> struct Product {
  const bf16* x;      // (rows, in)
  const W* w;         // (out, in), or, transposed, (in, out)
  const float* bias;  // (out), or null
  Y* y;               // (rows, out)
  int rows, out, in, ldx, ldw, ldy;
};

/// Eight weights as a sum of bf16: a float is three of them, exactly, so that its products are those of float arithmetic.
template <class W> struct Parts {
  static constexpr int n = 1;
  ATOM_DEVICE static void split(const vec<bf16, 8>& w, vec<bf16, 8> (&part)[1]) { part[0] = w; }
};
template <> struct Parts<float> {
  static constexpr int n = 3;
  ATOM_DEVICE static void split(vec<float, 8> w, vec<bf16, 8> (&part)[3]) {
    ATOM_UNROLL for (int p = 0; p < 3; ++p) ATOM_UNROLL for (int i = 0; i < 8; ++i) {
      part[p].v[i] = bf16(w.v[i]);
      w.v[i] -= static_cast<float>(part[p].v[i]);
    }
  }
};

/// At most 16 Tiles rows, 16 outputs per block, every wave its part of k. The weights are the A operand, straight from memory:
/// a lane loads 8 neighbours along k, and those fill its slots of two MMAs; x is loaded in the same order, which a sum does not
/// notice. Whole: vectors are aligned and `in` is a multiple of 32; rows past the end are then read again rather than masked.
template <class Weight, class Y, int Tiles, bool Whole> struct Streamed {
  static constexpr int tile = 16, rows = Tiles * tile, block_k = 32, max_waves = 8;
  static constexpr int ahead = Tiles > 1 ? 1 : sizeof(Weight) == 4 ? 2 : 4;  // blocks of k loaded before the first is used
  static constexpr int threads(int) { return 256; }
  struct Shared {
    array<float, max_waves * tile, rows + 1> partial;  // (wave, out, row of x)
    array<Y*, 1> y;                                    // what the end needs waits here: the loop wants every register
    array<const float*, 1> bias;
    array<int, 1> count;
  };

  template <class Cta> ATOM_DEVICE static void run(Cta& cta, Shared& s, const Product<Weight, Y>& a, int out0) {
    constexpr int W = Cta::wave, step = Cta::waves() * block_k, parts = Parts<Weight>::n;
    using T = Tile<W>;
    const int lane = cta.lane(), k_lane = T::group(lane) * 8;
    const Weight* w[T::rows];
    const bf16* x[Tiles][T::rows];
    ATOM_UNROLL for (int r = 0; r < T::rows; ++r) {
      const int row = T::row(lane, r);
      w[r] = row_of(a.w, min(out0 + row, a.out - 1), a.ldw);
      ATOM_UNROLL for (int t = 0; t < Tiles; ++t) x[t][r] = row_of(a.x, min(t * tile + row, a.rows - 1), a.ldx);
    }
    if (cta.thread() == 0) s.y.set(0, a.y), s.bias.set(0, a.bias), s.count.set(0, a.rows);
    FragOut<W> sum[Tiles];
    // Blocks of k at k0, k0 + step, ...: all their loads, then all their products.
    const auto multiply = [&]<int Blocks>(std::integral_constant<int, Blocks>, int k0) {
      vec<Weight, 8> wv[Blocks][T::rows];
      vec<bf16, 8> xv[Blocks][Tiles][T::rows];
      ATOM_UNROLL for (int u = 0; u < Blocks; ++u) ATOM_UNROLL for (int r = 0; r < T::rows; ++r) {
        const int k = k0 + u * step + k_lane;
        wv[u][r] = weights(w[r] + k, a.in - k);
        ATOM_UNROLL for (int t = 0; t < Tiles; ++t) {
          if constexpr (Whole)
            xv[u][t][r] = load<8>(x[t][r] + k);
          else
            xv[u][t][r] = load_some<8>(x[t][r] + k, a.in - k);
        }
      }
      ATOM_UNROLL for (int u = 0; u < Blocks; ++u) {
        vec<bf16, 8> part[T::rows][parts];
        ATOM_UNROLL for (int r = 0; r < T::rows; ++r) Parts<Weight>::split(wv[u][r], part[r]);
        ATOM_UNROLL for (int half = 0; half < 2; ++half) ATOM_UNROLL for (int t = 0; t < Tiles; ++t) {
          FragIn<W> fb;
          ATOM_UNROLL for (int i = 0; i < T::n; ++i) fb.v[i] = xv[u][t][T::b_row(i)].v[4 * half + T::b_slot(i)];
          ATOM_UNROLL for (int p = parts - 1; p >= 0; --p) {  // the smallest first
            FragIn<W> fa;
            ATOM_UNROLL for (int i = 0; i < T::n; ++i) fa.v[i] = part[T::a_row(i)][p].v[4 * half + T::a_slot(i)];
            mma(cta, sum[t], fa, fb);
          }
        }
      }
    };
    int k = cta.wave_id() * block_k;
    for (; k + (ahead - 1) * step < a.in; k += ahead * step) multiply(std::integral_constant<int, ahead>{}, k);
    if constexpr (ahead > 1)
      for (; k < a.in; k += step) multiply(std::integral_constant<int, 1>{}, k);
    ATOM_UNROLL for (int t = 0; t < Tiles; ++t) ATOM_UNROLL for (int i = 0; i < T::n; ++i) {
      const At at = T::d(lane, i);
      s.partial.set(cta.wave_id() * tile + at.row, t * tile + at.col, sum[t].v[i]);
    }
    cta.sync();
    const float* const bias = global(s.bias.get(0));
    for (int i = cta.thread(); i < tile * s.count.get(0); i += cta.threads()) {
      const int o = i % tile, row = i / tile;
      if (out0 + o >= a.out) continue;
      float y = 0;
      for (int wave = 0; wave < Cta::waves(); ++wave) y += s.partial.get(wave * tile + o, row);
      if (bias) y += bias[out0 + o];
      row_of(global(s.y.get(0)), row, a.ldy)[out0 + o] = Y(y);
    }
  }

 private:
  ATOM_DEVICE static vec<Weight, 8> weights(const Weight* p, [[maybe_unused]] int valid) {
    if constexpr (!Whole) {
      return load_some<8>(p, valid);
    } else if constexpr (sizeof(Weight) == 2) {
      return load_once<8>(p);
    } else {
      return load_floats<8>(p);
    }
  }
};

/// At most Rows rows, Outs outputs per block of 4 waves, which lie WaveRows high; k in stages of 64. Rows of x, w and y are aligned
/// to 16 bytes, and so is where they end: in, and transposed out, are multiples of 8.
template <class Y, int Rows, int Outs, int WaveRows, bool Transposed, int Stages> struct Tiled {
  static constexpr int waves = 4, block_k = 64, chunks = block_k / 8, wave_rows = Rows / WaveRows,
                       wave_outs = Outs / (waves / WaveRows);
  static constexpr int tall = wave_rows / 16, wide = wave_outs / 16;  // tiles of 16 x 16 that a wave has
  static constexpr int threads(int wave) { return waves * wave; }
  struct Shared {
    swizzled<bf16, Stages * Rows, block_k> x;
    swizzled<bf16, Stages*(Transposed ? block_k : Outs), Transposed ? Outs : block_k> w;
  };

  template <class Cta> ATOM_DEVICE static void run(Cta& cta, Shared& s, const Product<bf16, Y>& a, int out0) {
    constexpr int W = Cta::wave;
    using T = Tile<W>;
    const int stages = ceil_div(a.in, block_k), wave = cta.wave_id();
    const int my_row = wave % WaveRows * wave_rows, my_out = wave / WaveRows * wave_outs;
    FragOut<W> sum[tall][wide];
    for (int n = 0; n < Stages - 1; ++n) fetch(cta, s, a, out0, n);
    for (int n = 0; n < stages; ++n) {
      if constexpr (Stages == 1) {
        if (n > 0) cta.sync();
        fetch(cta, s, a, out0, n);
      }
      wait_copies<Stages == 1 ? 0 : Stages - 2>();
      cta.sync();  // this stage is here, and nobody reads the last one any more
      if constexpr (Stages > 1) fetch(cta, s, a, out0, n + Stages - 1);
      const int stage = n % Stages;
      ATOM_UNROLL for (int k = 0; k < block_k; k += 16) {
        FragIn<W> fx[tall];
        ATOM_UNROLL for (int i = 0; i < tall; ++i) fx[i] = load_a(cta, s.x, stage * Rows + my_row + 16 * i, k);
        ATOM_UNROLL for (int j = 0; j < wide; ++j) {
          FragIn<W> fw;
          if constexpr (Transposed)
            fw = load_b_transposed(cta, s.w, stage * block_k + k, my_out + 16 * j);
          else
            fw = load_b(cta, s.w, stage * Outs + my_out + 16 * j, k);
          ATOM_UNROLL for (int i = 0; i < tall; ++i) mma_carried(cta, sum[i][j], fx[i], fw);
        }
      }
    }
    wait_copies<0>();
    ATOM_UNROLL for (int i = 0; i < tall; ++i) ATOM_UNROLL for (int j = 0; j < wide; ++j)
        ATOM_UNROLL for (int e = 0; e < T::n; e += T::run) {
      const At at = T::carried(cta.lane(), e);
      const int row = my_row + 16 * i + at.row, o = out0 + my_out + 16 * j + at.col;
      if (row >= a.rows) continue;
      Y* y = row_of(a.y, row, a.ldy) + o;
      ATOM_UNROLL for (int r = 0; r < T::run; ++r) if (o + r < a.out) y[r] =
          Y(sum[i][j].v[e + r] + (a.bias ? a.bias[o + r] : 0.0f));
    }
  }

 private:
  /// Asks for the n-th stage of both operands; zeros where there is nothing.
  template <class Cta> ATOM_DEVICE static void fetch(Cta& cta, Shared& s, const Product<bf16, Y>& a, int out0, int n) {
    const int stage = n % Stages, k0 = n * block_k;
    ATOM_UNROLL for (int i = 0; i < ceil_div(Rows * chunks, Cta::threads()); ++i) {
      const int at = i * Cta::threads() + cta.thread(), r = at / chunks, c = at % chunks * 8;
      if (Rows * chunks % Cta::threads() != 0 && r >= Rows) break;
      const bool exists = r < a.rows && k0 + c < a.in;
      copy_async<8>(s.x, stage * Rows + r, c, exists ? row_of(a.x, r, a.ldx) + k0 + c : a.x, exists);
    }
    constexpr int w_rows = Transposed ? block_k : Outs, w_chunks = Transposed ? Outs / 8 : chunks;
    const int w0 = Transposed ? k0 : out0, w_end = Transposed ? a.in : a.out, c0 = Transposed ? out0 : k0,
              c_end = Transposed ? a.out : a.in;
    ATOM_UNROLL for (int i = 0; i < w_rows * w_chunks / Cta::threads(); ++i) {
      const int at = i * Cta::threads() + cta.thread(), r = at / w_chunks, c = at % w_chunks * 8;
      const bool exists = w0 + r < w_end && c0 + c < c_end;
      copy_async<8>(s.w, stage * w_rows + r, c, exists ? row_of(a.w, w0 + r, a.ldw) + c0 + c : a.w, exists);
    }
    commit_copies();
  }
};

}  // namespace atom::gpu
