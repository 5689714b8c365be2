#pragma once
// Llama 2, 3, 3.1.   https://arxiv.org/abs/2307.09288, https://arxiv.org/abs/2407.21783
#include "atom/model/decoder.hpp"

namespace atom::model {

template <Build M> struct LlamaAttention {
  static constexpr Sizes<M> S{};
  static constexpr int D = M::spec.attn.head_dim;
  using scheme = typename M::quants::attn;
  using Qkv = Linear<scheme, TPDim::col, S(Axis::q, Axis::kv, Axis::kv), S(Axis::d_model), Bias::qkv>;
  using Out = Linear<scheme, TPDim::row, S(Axis::d_model), S(Axis::q), Bias::o>;
  using first = Qkv;
  using last = Out;
  ATOM_MODULE(LlamaAttention, (Qkv, qkv_proj), (Out, o_proj));

  void operator()(StepContext auto& ctx, const auto& x, int layer, auto out) const {
    auto f = ctx.frame();
    const auto qkv = rotated<D>(qkv_proj(ctx, x));
    o_proj(ctx, attend_layer<M>(ctx, qkv, layer), out);
  }
};

template <Build M> using Llama = CausalLM<M, DecoderLayer<M, LlamaAttention<M>>>;

}  // namespace atom::model
