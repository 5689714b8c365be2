// paged_attention: which kernel takes what, and the one for floats.

#include "atom/ops/attention_gpu.hpp"

#include "attention_decode.hpp"
#include "attention_prefill.hpp"

namespace atom {
namespace {

/// Any types: one block per query row, KV head and up to G of its query heads; every wave takes its share of the pages and keeps a
/// softmax of its own, and the block merges them in the order of waves.
template <class T, class Kv, int D, int G> struct RowAttention {
  using Args = kernels::AttentionArgs<T, Kv>;
  using layout = kernels::KvLayout<Kv, D>;
  static constexpr int page = layout::page, max_waves = 8;
  static constexpr int threads(int) { return 256; }
  struct Shared {
    gpu::array<float, G, D> q;                 // scaled, so that scores are powers of two
    gpu::array<float, max_waves * G, page> p;  // a wave's probabilities of one page
    gpu::array<float, max_waves, G> top, sum;  // a wave's softmax
    gpu::array<float, max_waves * G, D> o;
  };

  template <class Cta> ATOM_DEVICE void operator()(Cta& cta, const Args& a) const {
    constexpr int W = Cta::wave, parts = W / page, part_width = D / parts, N = gpu::vector_of<typename layout::element>;
    constexpr int own = D / W;  // channels of V that a lane sums up
    static_assert(part_width % N == 0 && D % W == 0);
    auto& s = cta.template shared<Shared>();
    const int group = a.heads / a.kv_heads, chunks = gpu::ceil_div(group, G);
    const int row = cta.block_x(), kv_head = cta.block_y() / chunks, first_head = cta.block_y() % chunks * G;
    const int heads = gpu::min(G, group - first_head), head0 = kv_head * group + first_head;
    const int seq = gpu::sequence_of(row, a.first_row, a.seqs), visible = a.context[seq] - a.first_row[seq + 1] + row + 1;

    for (int i = cta.thread(); i < G * D; i += cta.threads()) {
      const int g = i / D;
      const float q = g < heads ? static_cast<float>(gpu::row_of(a.q, row, a.ldq)[head0 * D + i]) : 0.0f;
      s.q.set(g, i % D, q * a.scale * gpu::log2e);
    }
    cta.sync();

    const int lane = cta.lane(), wave = cta.wave_id(), token = lane % page, part = lane / page * part_width;
    float top[G], sum[G], o[G][own];
    ATOM_UNROLL for (int g = 0; g < G; ++g) {
      top[g] = -INFINITY;
      sum[g] = 0;
      ATOM_UNROLL for (int i = 0; i < own; ++i) o[g][i] = 0;
    }
    const int least = gpu::first_visible(visible - 1, a.window);
    for (int first = least / page * page + wave * page; first < visible; first += Cta::waves() * page) {
      const int index = gpu::row_of(a.block_table, seq, a.table_stride)[first / page];
      const std::size_t at = layout::at(index, kv_head, 0, a.kv_heads);
      const int tokens = gpu::min(page, visible - first);
      [[maybe_unused]] const auto scale_of = [&](const auto* pages) {
        return *reinterpret_cast<const float*>(pages + layout::scale_at(index, kv_head, token, a.kv_heads));
      };
      // Scores: a lane has one token, and its part of the channels.
      float score[G] = {};
      if (token < tokens) {
        const auto* k = a.k_pages + at + static_cast<std::size_t>(token * D + part);
        ATOM_UNROLL for (int c = 0; c < part_width; c += N) {
          const auto key = gpu::load<N>(k + c);
          ATOM_UNROLL for (int i = 0; i < N; i += 4) ATOM_UNROLL for (int g = 0; g < G; ++g) {
            const auto q = s.q.template load<4>(g, part + c + i);
            ATOM_UNROLL for (int j = 0; j < 4; ++j) score[g] += q.v[j] * gpu::number(key.v[i + j]);
          }
        }
        if constexpr (kernels::has_scales<Kv>) {
          const float scale = scale_of(a.k_pages);
          ATOM_UNROLL for (int g = 0; g < G; ++g) score[g] *= scale;
        }
      }
      float keep[G], value_scale = 1;
      if constexpr (kernels::has_scales<Kv>) value_scale = token < tokens ? scale_of(a.v_pages) : 0.0f;
      ATOM_UNROLL for (int g = 0; g < G; ++g) {
        ATOM_UNROLL for (int m = page; m < W; m *= 2) score[g] += cta.shfl_xor(score[g], m);
        if (token >= tokens || first + token < least) score[g] = -INFINITY;
        float higher = score[g];
        ATOM_UNROLL for (int m = page / 2; m > 0; m /= 2) higher = gpu::max(higher, cta.shfl_xor(higher, m));
        higher = gpu::max(higher, top[g]);
        keep[g] = gpu::exp2(top[g] - higher);
        top[g] = higher;
        const float p = gpu::exp2(score[g] - higher);
        sum[g] = sum[g] * keep[g] + p;
        if (lane < page) s.p.set(wave * G + g, token, kernels::has_scales<Kv> ? p * value_scale : p);
      }
      cta.wave_sync();
      // Values: a lane has its channels, of every token.
      ATOM_UNROLL for (int g = 0; g < G; ++g) ATOM_UNROLL for (int i = 0; i < own; ++i) o[g][i] *= keep[g];
      const auto* v = a.v_pages + at + static_cast<std::size_t>(lane * own);
      for (int t = 0; t < tokens; ++t) {  // what lies behind the last token may be anything
        const auto value = gpu::load<own>(v + t * D);
        ATOM_UNROLL for (int g = 0; g < G; ++g) {
          const float p = s.p.get(wave * G + g, t);
          ATOM_UNROLL for (int i = 0; i < own; ++i) o[g][i] += p * gpu::number(value.v[i]);
        }
      }
      cta.wave_sync();
    }

    ATOM_UNROLL for (int g = 0; g < G; ++g) {
      ATOM_UNROLL for (int m = page / 2; m > 0; m /= 2) sum[g] += cta.shfl_xor(sum[g], m);
      if (lane == 0) {
        s.top.set(wave, g, top[g]);
        s.sum.set(wave, g, sum[g]);
      }
      ATOM_UNROLL for (int i = 0; i < own; ++i) s.o.set(wave * G + g, lane * own + i, o[g][i]);
    }
    cta.sync();
    for (int i = cta.thread(); i < heads * D; i += cta.threads()) {
      const int g = i / D;
      float best = s.top.get(0, g), total = 0, value = 0;
      for (int w = 1; w < Cta::waves(); ++w) best = gpu::max(best, s.top.get(w, g));
      for (int w = 0; w < Cta::waves(); ++w) {
        const float keep = gpu::exp2(s.top.get(w, g) - best);
        total += keep * s.sum.get(w, g);
        value += keep * s.o.get(w * G + g, i % D);
      }
      total += gpu::sink_share(a.sinks, head0 + g, best);
      gpu::row_of(a.o, row, a.heads * D)[head0 * D + i] = T(value / total);
    }
  }
};

template <class T, class Kv, int D, class B> void by_row(typename B::stream stream, const kernels::AttentionArgs<T, Kv>& a) {
  if (a.heads / a.kv_heads <= 2)
    gpu::launch<RowAttention<T, Kv, D, 2>, B>(stream, {a.rows, a.kv_heads}, a);
  else
    gpu::launch<RowAttention<T, Kv, D, 8>, B>(stream, {a.rows, a.kv_heads * gpu::ceil_div(a.heads / a.kv_heads, 8)}, a);
}

/// Tiles of 128 queries, or of 64 where those would leave multiprocessors idle. Shorter stages where shared memory is
/// less, as on CDNA, or codes on their way need registers.
template <class Kv, int D, class B, class Args> void prefill(typename B::stream stream, const Args& a, bool skip_single) {
  constexpr int keys = gpu::wave_of<B> == 32 && !kernels::has_scales<Kv> ? 64 : 32;
  const auto launch = [&]<class K>(K) {
    const int tiles = gpu::ceil_div(a.rows * (a.heads / a.kv_heads), K::queries) + a.seqs - 1;  // every sequence may begin one
    gpu::launch<K, B>(stream, {a.kv_heads, tiles}, gpu::PrefillArgs<Args>{a, skip_single});
  };
  if (a.rows * a.heads >= 128 * 256)
    launch(gpu::PrefillAttention<Kv, D, 2, keys>{});
  else
    launch(gpu::PrefillAttention<Kv, D, 1, keys>{});
}

/// As many blocks as the device runs at once share the rows. Where whole rows come out even, only long contexts are cut; else few
/// rows are cut into short chunks.
template <class K, class B, class KArgs> void decode(typename B::stream stream, const KArgs& args, int heads, int resident) {
  const auto& a = args.a;
  const int rounds = gpu::ceil_div(args.slots * heads, resident), most = args.slots * kernels::attention_splits(a.kv_heads);
  const bool full = args.slots * heads * 10 >= rounds * resident * 9;
  KArgs cut = args;
  cut.shares = full ? gpu::ceil_div(args.slots, rounds) : gpu::min(gpu::max(1, resident / heads), most);
  cut.least = full ? 64 : gpu::min(gpu::max(args.slots * heads / 8, 2), 16);
  gpu::launch<K, B>(stream, {heads, cut.shares}, cut);
}
/// Codes are half the bytes: twice the stages. bf16 heads of 128 channels that give each multiprocessor one block have twice the
/// stages too, and the multiprocessor to themselves. Where copies are waited for when they are made, a second stage gains nothing.
template <class Kv, int D, int Heads, class B, class Args> void decode(typename B::stream stream, const Args& a, bool row_each) {
  using KArgs = gpu::DecodeArgs<Args>;
  constexpr bool copies = gpu::wave_of<B> == 32;
  constexpr int stages = !copies ? 1 : kernels::has_scales<Kv> ? 4 : 2;
  using Shared = gpu::DecodeAttention<Kv, D, Heads, stages>;
  const int slots = row_each ? a.rows : a.seqs, parts = gpu::ceil_div(a.heads / a.kv_heads, Heads), heads = a.kv_heads * parts;
  const KArgs args{a, slots, 0, parts, 0, row_each};
  if constexpr (copies && D == 128 && !kernels::has_scales<Kv>) {
    using Alone = gpu::DecodeAttention<Kv, D, Heads, 2 * stages>;
    const int resident = gpu::blocks_at_once<Alone, B, KArgs>();
    if (slots * heads <= resident && slots * heads * 2 > resident) return decode<Alone, B>(stream, args, heads, resident);
  }
  decode<Shared, B>(stream, args, heads, gpu::blocks_at_once<Shared, B, KArgs>());
}
template <class Kv, int D, class B, class Args> void decode(typename B::stream stream, const Args& a, bool row_each) {
  if (a.heads / a.kv_heads <= 8)
    decode<Kv, D, 8, B>(stream, a, row_each);
  else
    decode<Kv, D, 16, B>(stream, a, row_each);
}

}  // namespace

template <gpu::Activation T, gpu::HeadCacheOf<T> Kv, int D, gpu::Target B>
requires gpu::is_head_width<D>
void impl<kernels::paged_attention<T, Kv, D>, B>::run(typename B::stream stream, const kernels::AttentionArgs<T, Kv>& a) noexcept {
  if (a.rows == 0) return;
  if constexpr (std::same_as<T, bf16>) {
    if (gpu::vectors<8>(a.q, a.ldq) && gpu::vectors<8>(a.o, D)) {
      const bool row_each = a.rows <= a.seqs;
      if (a.partials) decode<Kv, D, B>(stream, a, row_each);
      if (!a.partials || !row_each) prefill<Kv, D, B>(stream, a, a.partials != nullptr);
      return;
    }
  }
  by_row<T, Kv, D, B>(stream, a);
}

}  // namespace atom

ATOM_GPU_KERNEL(atom::kernels::paged_attention<float, float, 64>);
ATOM_GPU_KERNEL(atom::kernels::paged_attention<float, float, 128>);
ATOM_GPU_KERNEL(atom::kernels::paged_attention<float, atom::bf16, 64>);
ATOM_GPU_KERNEL(atom::kernels::paged_attention<float, atom::bf16, 128>);
ATOM_GPU_KERNEL(atom::kernels::paged_attention<atom::bf16, atom::bf16, 64>);
ATOM_GPU_KERNEL(atom::kernels::paged_attention<atom::bf16, atom::bf16, 128>);
ATOM_GPU_KERNEL(atom::kernels::paged_attention<atom::bf16, atom::quant::PerToken<atom::int8>, 64>);
ATOM_GPU_KERNEL(atom::kernels::paged_attention<atom::bf16, atom::quant::PerToken<atom::int8>, 128>);
ATOM_GPU_KERNEL(atom::kernels::paged_attention<atom::bf16, atom::quant::PerToken<atom::fp8_e4m3>, 64>);
ATOM_GPU_KERNEL(atom::kernels::paged_attention<atom::bf16, atom::quant::PerToken<atom::fp8_e4m3>, 128>);
