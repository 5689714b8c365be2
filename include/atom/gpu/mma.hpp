#pragma once
// The matrix unit: D(16, 16) += A(16, 16) · B(16, 16)ᵀ by one wave, bf16 in, fp32 out.
// One idea: where an element lies is a constexpr map from (lane, register) to its coordinates. The instruction, the emulator and
// every loader and epilogue obey the same map, so a kernel that mixes up two coordinates fails on any machine.
//   a(lane, i)   (row, k) of the i-th element of A that the lane holds
//   b(lane, i)   (column, k) of B
//   d(lane, i)   (row, column) of D
// Attention multiplies twice: what comes out of q · kᵀ goes into the product with v. A carried operand is the one whose rows stay
// in their lanes through both: A where waves have 32 lanes, and B, with D transposed, where they have 64.
// To extend: another shape or element type is another map with the same members, its instruction in mma(), and a line in
// tests/gpu/machine_test.cpp, which proves a map complete and multiplies through it.
#include "atom/gpu/shared.hpp"

namespace atom::gpu {

struct At {
  int row, col;
};

template <int Wave> struct Tile;

/// v_mfma_f32_16x16x16_bf16: four neighbours along k per lane.
template <> struct Tile<64> {
  static constexpr int n = 4, run = 4;
  static constexpr At a(int lane, int i) { return {lane % 16, lane / 16 * 4 + i}; }
  static constexpr At b(int lane, int i) { return a(lane, i); }
  static constexpr At d(int lane, int i) { return {lane / 16 * 4 + i, lane % 16}; }
  // A lane's k belong to one of four groups, each with four slots: what kernels that choose their own order of k go by.
  static constexpr int group(int lane) { return lane / 16; }
  static constexpr int a_slot(int i) { return i; }
  static constexpr int b_slot(int i) { return i; }
  static constexpr int rows = 1;  // rows of A, columns of B that a lane holds
  static constexpr int row(int lane, int) { return lane % 16; }
  static constexpr int a_row(int) { return 0; }  // which of them element i belongs to
  static constexpr int b_row(int) { return 0; }
  static constexpr int next_group = 16;  // from a lane to the one with the same rows in the next group
  /// Where element i of a carried product lies: (row of the carried operand, row of the other).
  static constexpr At carried(int lane, int i) { return {d(lane, i).col, d(lane, i).row}; }
};

/// mma.sync.m16n8k16 twice, for columns 0 .. 7 and 8 .. 15: pairs along k.
template <> struct Tile<32> {
  static constexpr int n = 8, run = 2;
  static constexpr At a(int lane, int i) { return {lane / 4 + i / 2 % 2 * 8, lane % 4 * 2 + i % 2 + i / 4 * 8}; }
  static constexpr At b(int lane, int i) { return {lane / 4 + i / 4 * 8, lane % 4 * 2 + i % 2 + i / 2 % 2 * 8}; }
  static constexpr At d(int lane, int i) { return {lane / 4 + i / 2 % 2 * 8, lane % 4 * 2 + i % 2 + i / 4 * 8}; }
  static constexpr int group(int lane) { return lane % 4; }
  static constexpr int a_slot(int i) { return i % 2 + i / 4 * 2; }
  static constexpr int b_slot(int i) { return i % 2 + i / 2 % 2 * 2; }
  static constexpr int rows = 2;
  static constexpr int row(int lane, int r) { return lane / 4 + r * 8; }
  static constexpr int a_row(int i) { return i / 2 % 2; }
  static constexpr int b_row(int i) { return i / 4; }
  static constexpr int next_group = 1;
  static constexpr At carried(int lane, int i) { return d(lane, i); }
};

template <int W> struct FragIn { bf16 v[Tile<W>::n]; };
template <int W> struct FragOut {
  float v[Tile<W>::n] = {};
};

/// d += a · bᵀ. All lanes of the wave must arrive.
template <class Cta, int W> ATOM_DEVICE void mma([[maybe_unused]] Cta& cta, FragOut<W>& d, const FragIn<W>& a, const FragIn<W>& b) {
  static_assert(W == Cta::wave);
#if ATOM_GPU_EMULATED
  cta.mma(d, a, b);
#elif ATOM_GPU_AMD
  using s4 = short __attribute__((ext_vector_type(4)));
  using f4 = float __attribute__((ext_vector_type(4)));
  d = std::bit_cast<FragOut<W>>(
      __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(std::bit_cast<s4>(a), std::bit_cast<s4>(b), std::bit_cast<f4>(d), 0, 0, 0));
#else
  struct Words {
    unsigned u[4];
  };
  const auto x = std::bit_cast<Words>(a), y = std::bit_cast<Words>(b);
  ATOM_UNROLL for (int h = 0; h < 2; ++h) asm(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" :
      "+f"(d.v[4 * h]), "+f"(d.v[4 * h + 1]), "+f"(d.v[4 * h + 2]), "+f"(d.v[4 * h + 3]) : "r"(x.u[0]), "r"(x.u[1]), "r"(x.u[2]),
      "r"(x.u[3]), "r"(y.u[2 * h]), "r"(y.u[2 * h + 1]));
#endif
}

/// d(carried row, other row) += x · yᵀ, x being the carried operand: d lies as Tile::carried says.
template <class Cta, int W> ATOM_DEVICE void mma_carried(Cta& cta, FragOut<W>& d, const FragIn<W>& x, const FragIn<W>& y) {
  if constexpr (W == 32)
    mma(cta, d, x, y);
  else
    mma(cta, d, y, x);
}
/// Rounded to the nearest, halves to even. N is even.
template <int N> ATOM_DEVICE vec<bf16, N> rounded(const vec<float, N>& x) {
#if ATOM_GPU_NVIDIA
  struct Words {
    unsigned u[N / 2];
  } w;
  ATOM_UNROLL for (int i = 0; i < N / 2;
                   ++i) asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(w.u[i]) : "f"(x.v[2 * i + 1]), "f"(x.v[2 * i]));
  return std::bit_cast<vec<bf16, N>>(w);
#else
  vec<bf16, N> y;
  ATOM_UNROLL for (int i = 0; i < N; ++i) y.v[i] = bf16(x.v[i]);
  return y;
#endif
}
/// A carried product as the carried operand of the next one: what were rows of `other` are now k.
template <int W> ATOM_DEVICE FragIn<W> carry(const FragOut<W>& d) {
  return std::bit_cast<FragIn<W>>(rounded(std::bit_cast<vec<float, Tile<W>::n>>(d)));
}

#if ATOM_GPU_NVIDIA
/// Four matrices of 8 x 8; lane l names row l % 8 of matrix l / 8.
template <bool Transposed> ATOM_DEVICE FragIn<32> load_matrices(const bf16* row) {
  struct Words {
    unsigned u[4];
  } w;
  const auto at = static_cast<unsigned>(__cvta_generic_to_shared(row));
  if constexpr (Transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(w.u[0]), "=r"(w.u[1]), "=r"(w.u[2]), "=r"(w.u[3])
                 : "r"(at)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(w.u[0]), "=r"(w.u[1]), "=r"(w.u[2]), "=r"(w.u[3])
                 : "r"(at)
                 : "memory");
  return std::bit_cast<FragIn<32>>(w);
}
#endif

/// Rows [row, row + 16), columns [k, k + 16) of s as an operand: A, or B with its columns as rows of s. Rows of s begin at
/// multiples of 16 bytes.
template <class Cta, class S> ATOM_DEVICE auto load_a(Cta& cta, S& s, int row, int k) {
  [[maybe_unused]] const int lane = cta.lane();
#if ATOM_GPU_NVIDIA
  return load_matrices<false>(s.template target<8>(row + lane % 16, k + lane / 16 * 8));
#else
  using T = Tile<Cta::wave>;
  FragIn<Cta::wave> f;
  ATOM_UNROLL for (int i = 0; i < T::n; i += T::run) {
    const At at = T::a(lane, i);
    const auto v = s.template load<T::run>(row + at.row, k + at.col);
    for (int j = 0; j < T::run; ++j) f.v[i + j] = v.v[j];
  }
  return f;
#endif
}
template <class Cta, class S> ATOM_DEVICE auto load_b(Cta& cta, S& s, int row, int k) {
  [[maybe_unused]] const int lane = cta.lane();
#if ATOM_GPU_NVIDIA
  return load_matrices<false>(s.template target<8>(row + lane % 8 + lane / 16 * 8, k + lane / 8 % 2 * 8));
#else
  using T = Tile<Cta::wave>;
  FragIn<Cta::wave> f;
  ATOM_UNROLL for (int i = 0; i < T::n; i += T::run) {
    const At at = T::b(lane, i);
    const auto v = s.template load<T::run>(row + at.row, k + at.col);
    for (int j = 0; j < T::run; ++j) f.v[i + j] = v.v[j];
  }
  return f;
#endif
}
/// The same of what lies transposed: k in the rows [k, k + 16) of s, B's columns in its columns [col, col + 16). With waves of 64
/// it is A as well.
template <class Cta, class S> ATOM_DEVICE auto load_b_transposed(Cta& cta, S& s, int k, int col) {
  [[maybe_unused]] const int lane = cta.lane();
#if ATOM_GPU_NVIDIA
  return load_matrices<true>(s.template target<8>(k + lane % 16, col + lane / 16 * 8));
#else
  using T = Tile<Cta::wave>;
  FragIn<Cta::wave> f;
  ATOM_UNROLL for (int i = 0; i < T::n; ++i) f.v[i] = s.get(k + T::b(lane, i).col, col + T::b(lane, i).row);
  return f;
#endif
}

}  // namespace atom::gpu
