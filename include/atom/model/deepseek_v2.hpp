#pragma once
// DeepSeek-V2: multi-head latent attention; the first layers are dense, the others a mixture of experts.
// https://arxiv.org/abs/2405.04434
#include "atom/model/decoder.hpp"
#include "atom/ops/mla.hpp"

namespace atom::model {

/// What both ways to make queries share: keys and values are made of a row [c | k_pe] per token, which is all the cache holds.
template <Build M> struct LatentParts {
  static constexpr Sizes<M> S{};
  static constexpr LatentSpec L = M::spec.attn.latent;
  using scheme = typename M::quants::attn;
  using Kind = Mla<L.rank, L.rope, L.nope, L.value>;
  using KvNorm = LatentNorm<Axis::kv_rank>;
  using KvB = Linear<scheme, TPDim::col, S(Axis::made), S(Axis::kv_rank)>;
  using Out = Linear<scheme, TPDim::row, S(Axis::d_model), S(Axis::value), Bias::o>;
};

/// Queries are made of a row of their own, as long as q_rank.
template <Build M> struct LowRankAttention : LatentParts<M> {
  using P = LatentParts<M>;
  using scheme = typename P::scheme;
  using QkvA = Linear<scheme, TPDim::none, P::S(Axis::q_rank, Axis::latent), P::S(Axis::d_model), Bias::qkv>;
  using QB = Linear<scheme, TPDim::col, P::S(Axis::q), P::S(Axis::q_rank)>;
  using QNorm = LatentNorm<Axis::q_rank>;
  ATOM_MODULE(LowRankAttention, (QkvA, qkv_a_proj), (QNorm, q_a_layernorm), (QB, q_b_proj), (typename P::KvNorm, kv_a_layernorm),
              (typename P::KvB, kv_b_proj), (typename P::Out, o_proj));

  void operator()(StepContext auto& ctx, const auto& x, int layer, auto out) const {
    auto f = ctx.frame();
    const auto a = qkv_a_proj(ctx, x);  // [c_q | c | k_pe]
    const int q_rank = q_b_proj.weight.cols;
    const auto q = q_b_proj(ctx, q_a_layernorm(ctx, columns(a, 0, q_rank)));
    const auto row = columns(a, q_rank, P::Kind::row);
    o_proj(ctx, attend_latent<typename P::Kind, typename M::kv>(ctx, q, row, kv_a_layernorm, kv_b_proj, layer), out);
  }
};

/// Queries are made of the hidden state (V2-Lite).
template <Build M> struct FullRankAttention : LatentParts<M> {
  using P = LatentParts<M>;
  using scheme = typename P::scheme;
  using Q = Linear<scheme, TPDim::col, P::S(Axis::q), P::S(Axis::d_model)>;
  using KvA = Linear<scheme, TPDim::none, P::S(Axis::latent), P::S(Axis::d_model), Bias::qkv>;
  ATOM_MODULE(FullRankAttention, (Q, q_proj), (KvA, kv_a_proj_with_mqa), (typename P::KvNorm, kv_a_layernorm),
              (typename P::KvB, kv_b_proj), (typename P::Out, o_proj));

  void operator()(StepContext auto& ctx, const auto& x, int layer, auto out) const {
    auto f = ctx.frame();
    const auto q = q_proj(ctx, x);
    const auto row = kv_a_proj_with_mqa(ctx, x);
    o_proj(ctx, attend_latent<typename P::Kind, typename M::kv>(ctx, q, row, kv_a_layernorm, kv_b_proj, layer), out);
  }
};

template <Build M>
using LatentAttention = std::conditional_t<M::spec.attn.latent.q_rank == 0, FullRankAttention<M>, LowRankAttention<M>>;

template <Build M>
using DeepseekV2 =
    CausalLM<M, DecoderLayer<M, LatentAttention<M>,
                             DenseOrSparse<GatedMlp<M>, SharedMoE<Router<M>, Experts<M>, moe::SoftmaxTopK, SharedExperts<M>>>>>;

}  // namespace atom::model
