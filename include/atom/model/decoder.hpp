#pragma once
// What the dense decoder families share: the gated MLP, the pre-norm layer, and the causal language model around the layers.
// A family adds its attention and names itself.   h += Attn(norm1(h));  h += Mlp(norm2(h));  logits = norm(h) · W_headᵀ
#include "atom/model/build.hpp"
#include "atom/model/stack.hpp"
#include "atom/ops/activation.hpp"
#include "atom/ops/attention.hpp"
#include "atom/ops/embedding.hpp"
#include "atom/ops/linear.hpp"
#include "atom/ops/norm.hpp"

namespace atom::model {
using namespace ops;

/// y = W_down · (silu(W_gate x) * W_up x).   Shazeer 2020, https://arxiv.org/abs/2002.05202
template <Build M> struct GatedMlp {
  static constexpr Sizes<M> S{};
  using scheme = typename M::quants::mlp;
  using Up = Linear<scheme, TPDim::col, S(Axis::d_ff, Axis::d_ff), S(Axis::d_model), Bias::mlp>;
  using Down = Linear<scheme, TPDim::row, S(Axis::d_model), S(Axis::d_ff), Bias::mlp>;
  ATOM_MODULE(GatedMlp, (Up, gate_up_proj), (Down, down_proj));

  void operator()(StepContext auto& ctx, const auto& x, auto out) const {
    auto f = ctx.frame();
    down_proj(ctx, silu_mul<Down>(ctx, gate_up_proj(ctx, x)), out);
  }
};

template <Build M, class Attention, class Mlp = GatedMlp<M>> struct DecoderLayer {
  using AttnNorm = NormFor<Attention>;  // quantises when the projection behind it wants that
  using MlpNorm = NormFor<Mlp>;
  ATOM_MODULE(DecoderLayer, (AttnNorm, input_layernorm), (Attention, self_attn), (MlpNorm, post_attention_layernorm), (Mlp, mlp));

  void operator()(StepContext auto& ctx, auto& residual, int layer) const {
    auto f = ctx.frame();
    self_attn(ctx, input_layernorm(ctx, residual), layer, residual.delta);
    mlp(ctx, post_attention_layernorm(ctx, residual), residual.delta);
  }
};

template <Build M, class Layer> struct DecoderModel {
  static constexpr Sizes<M> S{};
  using Embedding = VocabParallelEmbedding<typename M::quants::table, S(Axis::vocab), S(Axis::d_model)>;
  using Layers = Stack<Repeat<Layer>>;
  ATOM_MODULE(DecoderModel, (Embedding, embed_tokens), (Layers, layers), (RMSNorm<AddResidual>, norm));
};

template <Build M, class Layer> struct CausalLM {
  static constexpr Sizes<M> S{};
  using Model = DecoderModel<M, Layer>;
  using Head = ParallelLMHead<typename M::quants::head, S(Axis::vocab), S(Axis::d_model)>;
  ATOM_MODULE(CausalLM, (Model, model), (Head, lm_head));

  explicit CausalLM(const ModelSpec& s) { model.layers.resize(s.layers); }

  auto operator()(StepContext auto& ctx) const {
    auto residual = model.embed_tokens(ctx);
    model.layers(ctx, residual);
    return lm_head(ctx, model.norm(ctx, residual));
  }
};

}  // namespace atom::model
