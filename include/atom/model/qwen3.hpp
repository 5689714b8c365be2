#pragma once
// Qwen3, dense: every q and k head is normalised before it rotates.   https://arxiv.org/abs/2505.09388
#include "atom/model/decoder.hpp"

namespace atom::model {

template <Build M> struct Qwen3Attention {
  static constexpr Sizes<M> S{};
  static constexpr int D = M::spec.attn.head_dim;
  using scheme = typename M::quants::attn;
  using Qkv = Linear<scheme, TPDim::col, S(Axis::q, Axis::kv, Axis::kv), S(Axis::d_model), Bias::qkv>;
  using Out = Linear<scheme, TPDim::row, S(Axis::d_model), S(Axis::q), Bias::o>;
  using first = Qkv;
  using last = Out;
  ATOM_MODULE(Qwen3Attention, (Qkv, qkv_proj), (Out, o_proj), (HeadNorm, q_norm), (HeadNorm, k_norm));

  void operator()(StepContext auto& ctx, const auto& x, int layer, auto out) const {
    auto f = ctx.frame();
    const auto qkv = rotated<D>(qkv_proj(ctx, x), q_norm, k_norm);
    o_proj(ctx, attend_layer<M>(ctx, qkv, layer), out);
  }
};

template <Build M> using Qwen3 = CausalLM<M, DecoderLayer<M, Qwen3Attention<M>>>;

}  // namespace atom::model
