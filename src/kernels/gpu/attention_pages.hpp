#pragma once
// How the pages of a cache come to a decoding wave, and become operands of its two products.
// One idea: pages are copied as they lie, ahead of their use, into stages that are the wave's own. bf16 is read from there as
// matrices. Of codes a lane reads neighbours, and spreads them over its slots of several products: that permutes the channels of
// keys and queries alike, which a sum does not notice, and those of the answer, which channel() puts right. Codes are exact in
// bf16; their scales meet the scores, and the probabilities before those are rounded. To extend: a cache of another type is another
// specialisation with these members.
#include "attention_tile.hpp"

namespace atom::gpu {

/// A page of one KV head, in K as in V: its offset, and how many of its tokens exist; none or fewer where there is no page.
struct PageAt {
  std::size_t at;
  int left;
};

/// Stages of a page of keys and one of values for each of a block's waves.
template <class Kv, int D, int Stages, int Waves> struct StagedPages;

template <int D, int Stages, int Waves> struct StagedPages<bf16, D, Stages, Waves> {
  static constexpr int page = kernels::page_tokens, vectors = D / 8, channels = D / 16;
  struct Shared {
    swizzled<bf16, Stages * Waves * 2 * page, D> kv;
  };
  ATOM_DEVICE static int first_row(int stage, int wave) { return (stage * Waves + wave) * 2 * page; }

  /// Keys, then values: neighbours together. What lies behind the context may be anything, and becomes zeros.
  template <class Cta> ATOM_DEVICE static void fetch(Cta& cta, Shared& s, int stage, const auto& a, PageAt p) {
    const int row = first_row(stage, cta.wave_id());
    const auto copy = [&](int to_row, const bf16* from) {
      ATOM_UNROLL for (int i = cta.lane(); i < page * vectors; i += Cta::wave) {
        const int t = i / vectors, c = i % vectors * 8;
        copy_async<8>(s.kv, to_row + t, c, from + (t < p.left ? t * D + c : 0), t < p.left);
      }
    };
    copy(row, a.k_pages + p.at), copy(row + page, a.v_pages + p.at);
  }

  /// The queries' operand of the c-th product of scores(); zeros behind the first `rows`, which begin at `from`.
  template <class Cta> ATOM_DEVICE static auto query(Cta& cta, const bf16* from, int c, int rows) {
    using T = Tile<Cta::wave>;
    FragIn<Cta::wave> q;
    ATOM_UNROLL for (int i = 0; i < T::n; i += T::run) {
      const At at = T::a(cta.lane(), i);
      vec<bf16, T::run> x{};
      if (at.row < rows) x = load<T::run>(from + at.row * D + 16 * c + at.col);
      ATOM_UNROLL for (int j = 0; j < T::run; ++j) q.v[i + j] = x.v[j];
    }
    return q;
  }

  template <class Cta, int W>
  ATOM_DEVICE static void scores(Cta& cta, Shared& s, int stage, const FragIn<W> (&q)[channels], FragOut<W>& score) {
    const int row = first_row(stage, cta.wave_id());
    ATOM_UNROLL for (int c = 0; c < channels; ++c) mma_carried(cta, score, q[c], load_b(cta, s.kv, row, 16 * c));
  }

  template <class Cta, int W>
  ATOM_DEVICE static void values(Cta& cta, Shared& s, int stage, int, const FragOut<W>& score, FragOut<W> (&o)[channels]) {
    const int row = first_row(stage, cta.wave_id()) + page;
    const FragIn<W> p = carry(score);
    ATOM_UNROLL for (int c = 0; c < channels; ++c) mma_carried(cta, o[c], p, load_b_transposed(cta, s.kv, row, 16 * c));
  }

  /// The channel that column `c` of the products' tiles stands for.
  template <int W> ATOM_DEVICE static int channel(int c) { return c; }
};

template <class E, int D, int Stages, int Waves> struct StagedPages<quant::PerToken<E>, D, Stages, Waves> {
  static constexpr int page = kernels::page_tokens, channels = D / 16, lines = page * D / 128;  // of 128 codes, a page
  struct Shared {
    swizzled<std::uint16_t, Stages * Waves * 2 * lines, 64> kv;  // pairs of codes
    array<float, Stages * Waves * 2, page> scale;
  };
  ATOM_DEVICE static int first_page(int stage, int wave) { return (stage * Waves + wave) * 2; }

  /// Whole pages: what lies behind the context may be any code.
  template <class Cta> ATOM_DEVICE static void fetch(Cta& cta, Shared& s, int stage, const auto& a, PageAt p) {
    const int to = first_page(stage, cta.wave_id()), lane = cta.lane();
    const auto copy = [&](int to_page, const E* from) {
      const auto* const pairs = reinterpret_cast<const std::uint16_t*>(from);
      ATOM_UNROLL for (int i = lane; i < lines * 8; i += Cta::wave)
          copy_async<8>(s.kv, to_page * lines + i / 8, i % 8 * 8, pairs + i * 8, true);
      if (lane < page / 4)
        copy_async<4>(s.scale, to_page, lane * 4, reinterpret_cast<const float*>(from + page * D) + lane * 4, true);
    };
    copy(to, a.k_pages + p.at), copy(to + 1, a.v_pages + p.at);
  }

  /// In the order of scores().
  template <class Cta> ATOM_DEVICE static auto query(Cta& cta, const bf16* from, int c, int rows) {
    using T = Tile<Cta::wave>;
    constexpr int at[4] = {0, 2, 1, 3};  // as spread() has them
    vec<bf16, 4> x[T::rows] = {};
    ATOM_UNROLL for (int r = 0; r < T::rows; ++r) if (const int row = T::row(cta.lane(), r); row < rows) x[r] =
        load<4>(from + row * D + c / 4 * 64 + T::group(cta.lane()) * 16 + c % 4 * 4);
    FragIn<Cta::wave> q;
    ATOM_UNROLL for (int i = 0; i < T::n; ++i) q.v[i] = x[T::a_row(i)].v[at[T::a_slot(i)]];
    return q;
  }

  /// A lane reads 16 codes of its keys in a block of 64 channels, which fill its slots of four products.
  template <class Cta, int W>
  ATOM_DEVICE static void scores(Cta& cta, Shared& s, int stage, const FragIn<W> (&q)[channels], FragOut<W>& score) {
    using T = Tile<W>;
    const int from = first_page(stage, cta.wave_id());
    ATOM_UNROLL for (int block = 0; block < D / 64; ++block) {
      Words<4> k[T::rows];
      ATOM_UNROLL for (int r = 0; r < T::rows; ++r) k[r] =
          read<4>(s, from, T::row(cta.lane(), r), block * 64 + T::group(cta.lane()) * 16);
      ATOM_UNROLL for (int c = 0; c < 4; ++c) {
        struct {
          vec<bf16, 4> row[T::rows];
        } b;
        ATOM_UNROLL for (int r = 0; r < T::rows; ++r) b.row[r] = spread<E>(k[r].v[c]);
        mma_carried(cta, score, q[block * 4 + c], std::bit_cast<FragIn<W>>(b));
      }
    }
    float scale[4];
    load_scales(cta, s, from, scale);
    ATOM_UNROLL for (int i = 0; i < T::n; ++i) score.v[i] *= scale[T::a_slot(i)];
  }

  /// A lane reads, of each of its four tokens, the codes that are its columns of all products.
  template <class Cta, int W>
  ATOM_DEVICE static void values(Cta& cta, Shared& s, int stage, int left, FragOut<W> score, FragOut<W> (&o)[channels]) {
    using T = Tile<W>;
    constexpr int own = channels * T::rows, products = 2 / T::rows;  // of two channels
    const int from = first_page(stage, cta.wave_id()) + 1, lane = cta.lane();
    float scale[4];
    load_scales(cta, s, from, scale);
    ATOM_UNROLL for (int i = 0; i < T::n; ++i)  // scales behind the context may be anything
        score.v[i] *= T::carried(lane, i).col < left ? scale[T::a_slot(i)] : 0.0f;
    const FragIn<W> p = carry(score);
    Words<own / 4> v[4];
    ATOM_UNROLL for (int t = 0; t < 4; ++t) v[t] = read<own / 4>(s, from, T::b(lane, t).col, T::b(lane, 0).row * own);
    ATOM_UNROLL for (int c = 0; c < own; c += 2) {
      const auto both = [&](int t) {  // two channels of two tokens
        const std::uint32_t x = v[t].v[c / 4], y = v[t + 1].v[c / 4];
        return spread<E>(c % 4 == 0 ? (x & 0xffff) | y << 16 : x >> 16 | (y & 0xffff0000));
      };
      const vec<bf16, 4> early = both(0), late = both(2);
      struct {
        FragIn<W> of[products];
      } b;
      b = std::bit_cast<decltype(b)>(vec<bf16, 8>{early.v[0], early.v[1], late.v[0], late.v[1],  //
                                                  early.v[2], early.v[3], late.v[2], late.v[3]});
      ATOM_UNROLL for (int i = 0; i < products; ++i) mma_carried(cta, o[c / T::rows + i], p, b.of[i]);
    }
  }

  template <int W> ATOM_DEVICE static int channel(int c) {
    using T = Tile<W>;
    constexpr int own = channels * T::rows, lanes = 16 / T::rows;
    return c % lanes * own + c / 16 * T::rows + c % 16 / lanes;
  }

 private:
  /// 4 N codes.
  template <int N> using Words = vec<std::uint32_t, N>;
  template <int N> ATOM_DEVICE static Words<N> read(Shared& s, int of_page, int token, int channel) {
    const int at = token * D + channel;
    return std::bit_cast<Words<N>>(s.kv.template load<2 * N>(of_page * lines + at / 128, at % 128 / 2));
  }
  /// Those of the tokens that are this lane's slots.
  template <class Cta> ATOM_DEVICE static void load_scales(Cta& cta, Shared& s, int of_page, float (&scale)[4]) {
    using T = Tile<Cta::wave>;
    ATOM_UNROLL for (int t = 0; t < 4; t += T::run) {
      const auto x = s.scale.template load<T::run>(of_page, T::b(cta.lane(), t).col);
      ATOM_UNROLL for (int j = 0; j < T::run; ++j) scale[t + j] = x.v[j];
    }
  }
};

}  // namespace atom::gpu
