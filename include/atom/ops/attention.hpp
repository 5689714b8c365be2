#pragma once
// Attention as a forward pass says it: rotate, then attend<Kind, Kv>, with a Window and Sinks where a layer has them.
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

/// Rotates the q and k heads of qkv (rows, (heads + 2 kv_heads) D) in place.
template <int D, StepContext Ctx> void rotate(Ctx& ctx, auto qkv) {
  run<kernels::rope<typename Ctx::act, D, kernels::RopeFlags{}>>(
      ctx, {qkv.data, ctx.batch.positions, ctx.cos_sin, nullptr, nullptr, qkv.rows, ctx.heads(), ctx.kv_heads(), qkv.stride,
            ctx.rotary_dim(), 0});
}
/// The same after an RMSNorm of every q and k head (Qwen3).
template <int D, StepContext Ctx, class Norm> void norm_rotate(Ctx& ctx, auto qkv, const Norm& q_norm, const Norm& k_norm) {
  run<kernels::rope<typename Ctx::act, D, kernels::RopeFlags{.qk_norm = true, .once = Norm::flags.once}>>(
      ctx, {qkv.data, ctx.batch.positions, ctx.cos_sin, q_norm.weight.data, k_norm.weight.data, qkv.rows, ctx.heads(),
            ctx.kv_heads(), qkv.stride, ctx.rotary_dim(), ctx.numbers.rms_eps});
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
  template <StepContext Ctx, AttentionExtra... Extras> static auto run(Ctx& ctx, auto qkv, int layer, Extras... extras) {
    constexpr kernels::AttnFlags flags{.window = (std::same_as<Extras, Window> || ...),
                                       .sinks = (std::same_as<Extras, Sinks> || ...)};
    using T = typename Ctx::act;
    using op = kernels::paged_attention<T, Kv, D, flags>;
    const int heads = ctx.heads(), kv_heads = ctx.kv_heads();
    const Batch& b = ctx.batch;
    const int rows = qkv.rows - b.padding;
    auto* k_pages = ctx.kv.template k<kernels::cache_element<Kv>>(layer);
    auto* v_pages = ctx.kv.template v<kernels::cache_element<Kv>>(layer);
    auto o = temp<T>(ctx, qkv.rows, heads * D);
    const auto k = columns(qkv, heads * D, kv_heads * D), v = columns(qkv, (heads + kv_heads) * D, kv_heads * D);
    const auto frame = ctx.frame();
    const auto outside = ctx.outside();
    float* partials = nullptr;
    int* arrivals = nullptr;
    if constexpr (requires { impl<op, typename Ctx::target>::splits; }) {
      partials = temp<float>(ctx, b.seqs * heads * kernels::attention_splits(kv_heads), kernels::partial_width(D)).data;
      arrivals = temp<int>(ctx, rows, kv_heads).data;
    }
    atom::run<kernels::kv_write<T, Kv, D>>(ctx, {k.data, v.data, k_pages, v_pages, b.slots, rows, kv_heads, qkv.stride, arrivals});
    kernels::AttentionArgs<T, Kv> args{qkv.data, o.data, k_pages, v_pages,  b.block_table, b.first_row,    b.context,
                                       rows,     b.seqs, heads,   kv_heads, qkv.stride,    b.table_stride, ctx.numbers.attn_scale};
    args.partials = partials;
    args.arrivals = arrivals;
    (extras.put(args), ...);
    atom::run<op>(ctx, args);
    return o;
  }
};

/// Appends this step's keys and values to the cache, then attends over it. qkv as above -> (rows, heads D).
///   attend<Mha<D>, Kv>(ctx, qkv, layer)
///   attend<Mha<D>, Kv>(ctx, qkv, layer, Window{128}, Sinks{sinks.data})   either or both
template <class Kind, class Kv, StepContext Ctx> auto attend(Ctx& ctx, auto qkv, int layer, auto... extras) {
  return attend_op<Kind, Kv>::run(ctx, qkv, layer, extras...);
}

}  // namespace atom::ops
