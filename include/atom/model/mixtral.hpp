#pragma once
// Mixtral: Llama's attention, a mixture of experts in every layer, and names of its own.   https://arxiv.org/abs/2401.04088
#include "atom/model/llama.hpp"

namespace atom::model {

/// w1 is the gate, w3 what it multiplies, w2 the way back.
template <Build M> struct MixtralExpert {
  using Gated = Expert<M>;
  using scheme = typename Gated::scheme;
  using activation = typename Gated::activation;
  ATOM_MODULE(MixtralExpert, (typename Gated::Up, w13), (typename Gated::Down, w2));
  const auto& up() const { return w13; }
  const auto& down() const { return w2; }
};

template <Build M> struct MixtralLayer {
  using Attention = LlamaAttention<M>;
  using Moe = SparseMoe<M, MixtralExpert<M>>;
  using AttnNorm = NormFor<Attention>;
  using MoeNorm = NormFor<Moe>;
  ATOM_MODULE(MixtralLayer, (AttnNorm, input_layernorm), (Attention, self_attn), (MoeNorm, post_attention_layernorm),
              (Moe, block_sparse_moe));

  void shape(const ModelSpec& s, int layer) { block_sparse_moe.shape(s, layer); }

  void operator()(StepContext auto& ctx, auto& residual, int layer) const {
    auto f = ctx.frame();
    self_attn(ctx, input_layernorm(ctx, residual), layer, residual.delta);
    block_sparse_moe(ctx, post_attention_layernorm(ctx, residual), residual.delta);
  }
};

template <Build M> using Mixtral = CausalLM<M, MixtralLayer<M>>;

}  // namespace atom::model
