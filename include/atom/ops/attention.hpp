#pragma once
// Attention as a forward pass says it: attend<Kind, Kv> over rotated heads, with a Window and Sinks where a layer has them.
// One idea: the kind of attention is a type that says what the cache holds and how wide a head is; batching, pages and ranks
// are the context's business.
// To extend: a kind (latent, sparse) is a new tag with its own attend_op and keys.
#include "atom/engine/context.hpp"
#include "atom/ops/attention_op.hpp"

namespace atom::ops {

/// Multi-head, grouped-query included: K and V of head width D.
template <int D> struct Mha {
  static_assert(D != dynamic, "atom: head_dim sizes register arrays; fix it in the build's spec, universal builds included");
};

/// Queries and keys that are still to be turned: attend() does it, in the launch that stores the keys where the backend has one.
/// One idea: like a norm's QTensor, a type says what is left to do, and whoever takes it knows the best place for that.
template <class T, int D, kernels::RopeFlags F> struct Rotated {
  Tensor<T> qkv;                 // (rows, (heads + 2 kv_heads) D), and what else lies behind
  const float *q_norm, *k_norm;  // (D), or null without F.qk_norm

  template <StepContext Ctx> typename kernels::rope<T, D, F>::args args(Ctx& ctx) const {
    return {qkv.data,
            ctx.batch.positions,
            ctx.cos_sin,
            q_norm,
            k_norm,
            qkv.rows,
            ctx.heads(),
            ctx.kv_heads(),
            qkv.stride,
            ctx.rotary_dim(),
            F.qk_norm ? ctx.numbers.rms_eps : 0};
  }
};

/// The q and k heads of qkv turn by their positions.
template <int D, class T, int R, int C> auto rotated(Tensor<T, R, C> qkv) {
  return Rotated<T, D, kernels::RopeFlags{}>{{qkv.data, qkv.rows, qkv.cols, qkv.stride}, nullptr, nullptr};
}
/// The same after an RMSNorm of every q and k head (Qwen3).
template <int D, class T, int R, int C, class Norm> auto rotated(Tensor<T, R, C> qkv, const Norm& q_norm, const Norm& k_norm) {
  constexpr kernels::RopeFlags flags{.qk_norm = true, .once = Norm::flags.once};
  return Rotated<T, D, flags>{{qkv.data, qkv.rows, qkv.cols, qkv.stride}, q_norm.weight.data, k_norm.weight.data};
}

/// A row sees the last `tokens` tokens up to itself; 0: all of them.
struct Window {
  int tokens;
  void put(auto& args) const { args.window = tokens; }
};
/// One more score per query head, of a token without a value.
struct Sinks {
  const float* logits;  // (heads)
  void put(auto& args) const { args.sinks = logits; }
};
template <class X>
concept AttentionExtra = std::same_as<X, Window> || std::same_as<X, Sinks>;

template <class Kind, class Kv> struct attend_op;
template <int D, class Kv> struct attend_op<Mha<D>, Kv> {
  template <StepContext Ctx, class T, kernels::RopeFlags Turn, AttentionExtra... Extras>
  static auto run(Ctx& ctx, Rotated<T, D, Turn> rotated, int layer, Extras... extras) {
    constexpr kernels::AttnFlags flags{.window = (std::same_as<Extras, Window> || ...),
                                       .sinks = (std::same_as<Extras, Sinks> || ...)};
    using op = kernels::paged_attention<T, Kv, D, flags>;
    using turn_and_write = kernels::rope_kv_write<T, Kv, D, Turn>;
    constexpr bool joined = joins<turn_and_write, typename Ctx::target>;
    const auto qkv = rotated.qkv;
    const int heads = ctx.heads(), kv_heads = ctx.kv_heads();
    const Batch& b = ctx.batch;
    const int rows = qkv.rows - b.padding;
    auto* k_pages = ctx.kv.template k<kernels::cache_element<Kv>>(layer);
    auto* v_pages = ctx.kv.template v<kernels::cache_element<Kv>>(layer);
    auto o = temp<T>(ctx, qkv.rows, heads * D);
    const auto k = columns(qkv, heads * D, kv_heads * D), v = columns(qkv, (heads + kv_heads) * D, kv_heads * D);
    const auto frame = ctx.frame();
    if constexpr (!joined) atom::run<typename turn_and_write::rope>(ctx, rotated.args(ctx));
    const auto outside = ctx.outside();
    float* partials = nullptr;
    int* arrivals = nullptr;
    if constexpr (requires { impl<op, typename Ctx::target>::splits; }) {
      partials = temp<float>(ctx, b.seqs * heads * kernels::attention_splits(kv_heads), kernels::partial_width(D)).data;
      arrivals = temp<int>(ctx, rows, kv_heads).data;
    }
    const typename turn_and_write::write::args store{k.data, v.data,   k_pages,    v_pages, b.slots,
                                                     rows,   kv_heads, qkv.stride, arrivals};
    if constexpr (joined) {
      auto turn = rotated.args(ctx);
      turn.rows = rows;
      atom::run<turn_and_write>(ctx, {turn, store});
    } else {
      atom::run<typename turn_and_write::write>(ctx, store);
    }
    kernels::AttentionArgs<T, Kv> args{qkv.data, o.data, k_pages, v_pages,  b.block_table, b.first_row,    b.context,
                                       rows,     b.seqs, heads,   kv_heads, qkv.stride,    b.table_stride, ctx.numbers.attn_scale};
    args.partials = partials;
    args.arrivals = arrivals;
    (extras.put(args), ...);
    atom::run<op>(ctx, args);
    return o;
  }
};

/// Appends this step's keys and values to the cache, then attends over it -> (rows, heads D).
///   attend<Mha<D>, Kv>(ctx, rotated<D>(qkv), layer)
///   attend<Mha<D>, Kv>(ctx, rotated<D>(qkv), layer, Window{128}, Sinks{sinks.data})   either or both
template <class Kind, class Kv, StepContext Ctx> auto attend(Ctx& ctx, auto qkv, int layer, auto... extras) {
  return attend_op<Kind, Kv>::run(ctx, qkv, layer, extras...);
}

}  // namespace atom::ops
