#pragma once
// GPT-OSS: attention with sinks, through a window in every other layer; small biased experts, chosen before the softmax.
// https://arxiv.org/abs/2508.10925
#include "atom/model/decoder.hpp"

namespace atom::model {

template <Build M> struct GptOssAttention {
  static constexpr Sizes<M> S{};
  static constexpr int D = M::spec.attn.head_dim;
  using scheme = typename M::quants::attn;
  using Qkv = Linear<scheme, TPDim::col, S(Axis::q, Axis::kv, Axis::kv), S(Axis::d_model), Bias::qkv>;
  using Out = Linear<scheme, TPDim::row, S(Axis::d_model), S(Axis::q), Bias::o>;
  using SinkLogits = Param<float, S(Axis::heads), Width{1}, TPDim::col>;
  ATOM_MODULE(GptOssAttention, (Qkv, qkv_proj), (Out, o_proj), (SinkLogits, sinks));

  void operator()(StepContext auto& ctx, const auto& x, int layer, auto out) const {
    auto f = ctx.frame();
    const auto qkv = rotated<D>(qkv_proj(ctx, x));
    o_proj(ctx, attend_layer<M>(ctx, qkv, layer, Sinks{sinks.data}), out);
  }
};

template <Build M> struct GptOssMoe {
  using Choice = Router<M, typename M::quants::table, Bias::always>;
  using Expert = GatedMlp<M, Axis::expert_ff, Bias::always, activation::ClampedSwiglu>;
  using Experts = model::Experts<M, Expert, moe::Alternating>;
  using scheme = typename Choice::scheme;
  ATOM_MODULE(GptOssMoe, (Choice, router), (Experts, experts));

  void shape(const ModelSpec& s, int /*layer*/) { experts.shape(s.moe.experts); }
  void operator()(StepContext auto& ctx, const auto& x, auto out) const {
    moe::mix<moe::SoftmaxTopK>(ctx, router, experts, x, out);
  }
};

template <Build M> using GptOss = CausalLM<M, DecoderLayer<M, GptOssAttention<M>, GptOssMoe<M>, RoundOnce>, NoDraft, RoundOnce>;

}  // namespace atom::model
