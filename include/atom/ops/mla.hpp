#pragma once
// Multi-head latent attention as a forward pass says it: attend_latent<Mla, Kv>.
// One idea: as in attention.hpp, the kind is a type. Here it says how wide the cached row is and what heads make of it.
#include "atom/ops/linear.hpp"
#include "atom/ops/mla_op.hpp"
#include "atom/ops/norm.hpp"

namespace atom::ops {

/// Of every token one row for all heads: Latent channels that keys and values are made of, and Rope channels of key as they are.
/// Of a head: Nope channels of key that are made, and Value of value.
template <int Latent, int Rope, int Nope, int Value> struct Mla {
  static_assert(
      Latent > 0 && Rope > 0 && Nope > 0 && Value > 0,
      "atom: the widths of latent attention size register arrays; fix them in the build's spec, universal builds included");
  static constexpr int row = Latent + Rope;  // what the cache holds of a token
};

/// Norm of a low-rank row: its eps is the architecture's own, whatever config.json says of the others.
template <model::Axis A> struct LatentNorm : RMSNormOver<model::Width(dynamic, A)> {
  template <StepContext Ctx> auto operator()(Ctx& ctx, Tensor<typename Ctx::act> x) const {
    return this->apply(ctx, x, nullptr, 1e-6f);
  }
};

template <class Kind, class Kv> struct attend_latent_op;
template <int C, int R, int N, int V, class Kv> struct attend_latent_op<Mla<C, R, N, V>, Kv> {
  template <StepContext Ctx, class Q, TPDim Tp, Width Out, Width In, Bias B>
  static auto run(Ctx& ctx, auto q, auto row, const auto& norm, const Linear<Q, Tp, Out, In, B>& kv_b, int layer) {
    static_assert(B == Bias::never && Tp != TPDim::row, "atom: kv_b_proj has no bias, and is cut by heads");
    using T = typename Ctx::act;
    const int heads = ctx.heads(), rows = q.rows;
    const Batch& b = ctx.batch;
    Kv* pages = ctx.kv.template latent<Kv>(layer);
    auto o = temp<T>(ctx, rows, heads * V);
    auto f = ctx.frame();
    const auto c = norm(ctx, columns(row, 0, C)), k_pe = columns(row, C, R);
    const auto rotate = [&](T* x, int of, int stride, int apart) {
      atom::run<kernels::rope_pairs<T>>(ctx, {x, b.positions, ctx.cos_sin, rows, of, stride, apart, ctx.rotary_dim()});
    };
    rotate(q.data + N, heads, q.stride, N + R);
    rotate(k_pe.data, 1, k_pe.stride, R);
    const auto outside = ctx.outside();
    const int live = rows - b.padding;
    atom::run<kernels::latent_write<T, Kv, C, R>>(ctx, {c.data, k_pe.data, pages, b.slots, live, c.stride, k_pe.stride});
    const float* scale = nullptr;
    if constexpr (quant::Scaled<Q>) scale = kv_b.weight_scale.data;
    using op = kernels::latent_attention<Q, T, Kv, C, R, N, V>;
    std::byte* scratch = nullptr;
    if constexpr (requires { impl<op, typename Ctx::target>::scratch_bytes(live, b.seqs, heads); })
      scratch = temp<std::byte>(ctx, 1, static_cast<int>(impl<op, typename Ctx::target>::scratch_bytes(live, b.seqs, heads))).data;
    atom::run<op>(ctx, {q.data, kv_b.weight.data, scale, o.data, pages, b.block_table, b.first_row, b.context, live, b.seqs, heads,
                        q.stride, b.table_stride, ctx.numbers.attn_scale, scratch});
    return o;
  }
};

/// Rotates the queries' last channels and the row's, appends the row to the cache, its first part normed, and attends over what is
/// there with the keys and values that kv_b makes of it.
/// q: (rows, heads (Nope + Rope)); row: (rows, Latent + Rope) -> (rows, heads Value).
template <class Kind, class Kv, StepContext Ctx>
auto attend_latent(Ctx& ctx, auto q, auto row, const auto& norm, const auto& kv_b, int layer) {
  return attend_latent_op<Kind, Kv>::run(ctx, q, row, norm, kv_b, layer);
}

}  // namespace atom::ops
