#pragma once
// Qwen3-Next: three layers of four are gated delta nets, the fourth attends; all have a mixture of many small experts.
// Gated delta nets: https://arxiv.org/abs/2412.06464. Gated attention: https://arxiv.org/abs/2505.06708
#include "atom/model/decoder.hpp"
#include "atom/ops/delta_net.hpp"

namespace atom::model {

/// [q | k | v | z] = W x; of q, k and v, convolved, the delta rule makes o; y = W_out · (norm(o) * silu(z)).
template <Build M> struct GatedDeltaNet {
  static constexpr Sizes<M> S{};
  using scheme = typename M::quants::attn;
  static constexpr Width qkvz = S(Axis::delta_keys, Axis::delta_keys, Axis::delta_values, Axis::delta_values),
                         ba = S(Axis::delta_value_heads, Axis::delta_value_heads);
  using InQkvz = Linear<scheme, TPDim::col, qkvz.in_turns(Axis::delta_key_heads), S(Axis::d_model)>;
  using InBa = Linear<scheme, TPDim::col, ba.in_turns(Axis::delta_key_heads), S(Axis::d_model)>;
  using Out = Linear<scheme, TPDim::row, S(Axis::d_model), S(Axis::delta_values)>;
  using PerHead = Param<float, S(Axis::delta_value_heads), Width{1}, TPDim::col>;
  ATOM_MODULE(GatedDeltaNet, (InQkvz, in_proj_qkvz), (InBa, in_proj_ba), (CausalConv, conv1d), (PerHead, A_log), (PerHead, dt_bias),
              (GatedNorm, norm), (Out, out_proj));

  void operator()(StepContext auto& ctx, const auto& x, int place, auto out) const {
    auto f = ctx.frame();
    const auto in = in_proj_qkvz(ctx, x), gates = in_proj_ba(ctx, x);
    const int values = out_proj.weight.cols, qkv = in.cols - values;
    const auto o = delta_rule(ctx, conv1d(ctx, columns(in, 0, qkv), place), gates, A_log.data, dt_bias.data, place);
    out_proj(ctx, norm(ctx, o, columns(in, qkv, values)), out);
  }
};

/// Every channel of every head has a gate, made like its query; part of each head rotates.
template <Build M> struct GatedAttention {
  static constexpr Sizes<M> S{};
  static constexpr int D = M::spec.attn.head_dim;
  using scheme = typename M::quants::attn;
  static constexpr Width rows = S(Axis::q, Axis::kv, Axis::kv, Axis::q);
  using Qkvg = Linear<scheme, TPDim::col, rows.in_turns(Axis::heads), S(Axis::d_model), Bias::qkv>;
  using Out = Linear<scheme, TPDim::row, S(Axis::d_model), S(Axis::q), Bias::o>;
  using Norm = HeadNormOf<RoundOnce, ZeroCentred>;
  ATOM_MODULE(GatedAttention, (Qkvg, qkvg_proj), (Out, o_proj), (Norm, q_norm), (Norm, k_norm));

  void operator()(StepContext auto& ctx, const auto& x, int place, auto out) const {
    auto f = ctx.frame();
    const auto in = qkvg_proj(ctx, x);
    const int gates = o_proj.weight.cols;
    const auto o = attend<Mha<D>, typename M::kv>(ctx, rotated<D>(in, q_norm, k_norm), place);
    open_gates(ctx, o, columns(in, in.cols - gates, gates));
    o_proj(ctx, o, out);
  }
};

/// The expert that every row meets has a gate of its own.
template <Build M> struct Qwen3NextMoe {
  using Experts = model::Experts<M>;
  using SharedGate = Linear<typename Router<M>::scheme, TPDim::none, Width{1}, Sizes<M>{}(Axis::d_model)>;
  using scheme = typename Router<M>::scheme;
  ATOM_MODULE(Qwen3NextMoe, (Router<M>, gate), (Experts, experts), (SharedExperts<M>, shared_expert),
              (SharedGate, shared_expert_gate));

  void shape(const ModelSpec& s, int /*layer*/) { experts.shape(s.moe.experts); }
  template <StepContext Ctx, class T> void operator()(Ctx& ctx, Tensor<T> x, Tensor<T> out) const {
    auto f = ctx.frame();
    const auto shared = temp<T>(ctx, x.rows, x.cols);
    shared_expert.partial(ctx, x, shared);
    open_gates(ctx, shared, shared_expert_gate(ctx, x));
    moe::mix<moe::SoftmaxTopK>(ctx, gate, experts, x, out, shared.data);
  }
};

template <Build M> struct Qwen3NextLayer {
  using Delta = InSome<GatedDeltaNet<M>>;
  using Attention = InSome<GatedAttention<M>>;
  using Mlp = DenseOrSparse<GatedMlp<M>, Qwen3NextMoe<M>>;
  using AttnNorm = NormFor<GatedAttention<M>, RoundOnce, ZeroCentred>;
  using MlpNorm = NormFor<Mlp, RoundOnce, ZeroCentred>;
  ATOM_MODULE(Qwen3NextLayer, (AttnNorm, input_layernorm), (Delta, linear_attn), (Attention, self_attn),
              (MlpNorm, post_attention_layernorm), (Mlp, mlp));
  int place = 0;  // among the layers of its kind

  void shape(const ModelSpec& s, int layer) {
    linear_attn.here = s.delta.layers.has(layer);
    self_attn.here = !linear_attn.here;
    place = place_of(s, layer);
    mlp.shape(s, layer);
  }
  void operator()(StepContext auto& ctx, auto& residual, int /*layer*/) const {
    auto f = ctx.frame();
    const auto x = input_layernorm(ctx, residual);
    linear_attn.here ? linear_attn(ctx, x, place, residual.delta) : self_attn(ctx, x, place, residual.delta);
    mlp(ctx, post_attention_layernorm(ctx, residual), residual.delta);
  }
};

template <Build M> using Qwen3Next = CausalLM<M, Qwen3NextLayer<M>, NoDraft, RoundOnce, ZeroCentred>;

}  // namespace atom::model
