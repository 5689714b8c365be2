#pragma once
// What the decoder families share: the gated MLP, the mixture of experts, the pre-norm layer, and the causal language model around
// the layers. A family adds its attention and names itself.   h += Attn(norm1(h));  h += Mlp(norm2(h));  logits = norm(h) · W_headᵀ
#include "atom/model/build.hpp"
#include "atom/model/stack.hpp"
#include "atom/ops/activation.hpp"
#include "atom/ops/attention.hpp"
#include "atom/ops/embedding.hpp"
#include "atom/ops/linear.hpp"
#include "atom/ops/moe.hpp"
#include "atom/ops/norm.hpp"

namespace atom::model {
using namespace ops;

/// Multi-head attention of a layer, over a window where the spec gives the layer one.   Beltagy et al. 2020,
/// https://arxiv.org/abs/2004.05150
template <Build M> auto attend_layer(StepContext auto& ctx, auto qkv, int layer, auto... extras) {
  using Kind = Mha<M::spec.attn.head_dim>;
  if constexpr (M::spec.attn.window != 0)
    if (const int window = ctx.window(layer); window > 0)
      return attend<Kind, typename M::kv>(ctx, qkv, layer, Window{window}, extras...);
  return attend<Kind, typename M::kv>(ctx, qkv, layer, extras...);
}

/// y = W_down · (act(W_gate x) * W_up x), of width Ff.   Shazeer 2020, https://arxiv.org/abs/2002.05202
template <Build M, Axis Ff = Axis::d_ff, Bias B = Bias::mlp, class Activation = activation::Silu> struct GatedMlp {
  static constexpr Sizes<M> S{};
  using scheme = typename M::quants::mlp;
  using Up = Linear<scheme, TPDim::col, S(Ff, Ff), S(Axis::d_model), B>;
  using Down = Linear<scheme, TPDim::row, S(Axis::d_model), S(Ff), B>;
  using activation = Activation;
  using first = Up;
  using last = Down;
  ATOM_MODULE(GatedMlp, (Up, gate_up_proj), (Down, down_proj));
  const Up& up() const { return gate_up_proj; }
  const Down& down() const { return down_proj; }

  void operator()(StepContext auto& ctx, const auto& x, auto out) const {
    auto f = ctx.frame();
    down_proj(ctx, gate_mul<Activation, Down>(ctx, gate_up_proj, x), out);
  }
  /// This rank's term of the sum.
  void partial(StepContext auto& ctx, const auto& x, auto out) const {
    auto f = ctx.frame();
    down_proj.partial(ctx, gate_mul<Activation, Down>(ctx, gate_up_proj, x), out);
  }
};

/// One expert of a mixture, and the experts that every row meets, as one MLP.
template <Build M> using Expert = GatedMlp<M, Axis::expert_ff, Bias::never>;
template <Build M> using SharedExperts = GatedMlp<M, Axis::shared_ff, Bias::never>;

/// The router's logits, always float. It is never quantised, and every rank has all of it.
template <Build M, class Weight = typename M::quants::table, Bias B = Bias::never>
using Router = Linear<quant::NoAs<Weight>, TPDim::none, Sizes<M>{}(Axis::experts), Sizes<M>{}(Axis::d_model), B>;

/// For a rule with a bias: weights and arithmetic in float too.   Wang et al. 2024, https://arxiv.org/abs/2408.15664
template <Build M> struct BiasedRouter {
  using Logits = Router<M, float>;
  using scheme = typename Logits::scheme;
  Logits logits;
  Param<float, Sizes<M>{}(Axis::experts)> e_score_correction_bias;

  void operator()(StepContext auto& ctx, const auto& x, auto out) const { logits(ctx, x, out); }
  template <class Ctx> void describe(ParamTable& out, const ParamPath& path) {
    logits.template describe<Ctx>(out, path);
    add_row(out, {&path, "e_score_correction_bias"}, e_score_correction_bias);
  }
};

/// How a build computes its experts, and where, if its ranks may share them out.
template <Build M, class E = Expert<M>, class Order = moe::Halves,
          class Method = moe::MethodFor<typename M::backend, typename M::act, E, Order>>
using Experts = std::conditional_t<M::parallel.ep == 1, Method, moe::ExpertParallel<Method>>;

/// y = sum over the likeliest experts of softmax(W_gate x) · expert(x).   Lepikhin et al. 2020, https://arxiv.org/abs/2006.16668
template <Build M, class E = Expert<M>, class Rule = moe::SoftmaxTopK> using SparseMoe = FusedMoE<Router<M>, Experts<M, E>, Rule>;

/// y = shared(x) + sum over the experts with the largest s + bias of s · expert(x), s = sigmoid(W_gate x).
/// DeepSeek-V3, https://arxiv.org/abs/2412.19437
template <Build M> using BiasedMoe = SharedMoE<BiasedRouter<M>, Experts<M>, moe::BiasedTopK<moe::Sigmoid>, SharedExperts<M>>;

/// Sparse in every layer but those that the spec calls dense.
template <class Dense, class Sparse> struct DenseOrSparse {
  using scheme = typename Sparse::scheme;
  Dense dense;
  Sparse sparse;
  bool is_dense = false;

  void shape(const ModelSpec& s, int layer) {
    is_dense = s.moe.dense_layers.has(layer);
    if (!is_dense) sparse.shape(s, layer);
  }
  void operator()(StepContext auto& ctx, const auto& x, auto out) const { is_dense ? dense(ctx, x, out) : sparse(ctx, x, out); }
  template <class Ctx> void describe(ParamTable& out, const ParamPath& path) {
    is_dense ? collect<Ctx>(dense, out, &path) : collect<Ctx>(sparse, out, &path);
  }
};

/// A module that some layers have: its parameters count where it is.
template <class Module> struct InSome : Module {
  bool here = true;
  template <class Ctx> void describe(ParamTable& out, const ParamPath& path) {
    if (here) collect<Ctx>(static_cast<Module&>(*this), out, &path);
  }
};

/// `Norm`: what all norms of the model have besides (RoundOnce, ZeroCentred).
template <Build M, class Attention, class Mlp = GatedMlp<M>, class... Norm> struct DecoderLayer {
  using AttnNorm = NormFor<Attention, Norm...>;  // quantises when the projection behind it wants that
  using MlpNorm = NormFor<Mlp, Norm...>;
  ATOM_MODULE(DecoderLayer, (AttnNorm, input_layernorm), (Attention, self_attn), (MlpNorm, post_attention_layernorm), (Mlp, mlp));

  /// What only the run time knows: how many experts, and whether this layer has any.
  void shape(const ModelSpec& s, int layer) requires requires(Mlp m) { m.shape(s, layer); }
  { mlp.shape(s, layer); }

  void operator()(StepContext auto& ctx, auto& residual, int layer) const {
    auto f = ctx.frame();
    self_attn(ctx, input_layernorm(ctx, residual), layer, onto<Attention>(residual));
    mlp(ctx, post_attention_layernorm(ctx, residual), onto<Mlp>(residual));
  }
};

/// A model without layers that draft.
struct NoDraft {};

template <Build M, class Layer, class Draft, class... Norm> struct DecoderModel {
  static constexpr Sizes<M> S{};
  using Embedding = VocabParallelEmbedding<typename M::quants::table, S(Axis::vocab), S(Axis::d_model)>;
  using Layers = std::conditional_t<std::is_same_v<Draft, NoDraft>, Stack<Repeat<Layer>>, Stack<Repeat<Layer>, Aside<Draft>>>;
  using FinalNorm = RMSNorm<AddResidual, Norm...>;
  ATOM_MODULE(DecoderModel, (Embedding, embed_tokens), (Layers, layers), (FinalNorm, norm));
};

template <Build M, class Layer, class Draft = NoDraft, class... Norm> struct CausalLM {
  static constexpr Sizes<M> S{};
  static constexpr bool drafts = !std::is_same_v<Draft, NoDraft>;
  using Model = DecoderModel<M, Layer, Draft, Norm...>;
  using Head = ParallelLMHead<typename M::quants::head, S(Axis::vocab), S(Axis::d_model)>;
  ATOM_MODULE(CausalLM, (Model, model), (Head, lm_head));

  explicit CausalLM(const ModelSpec& s) {
    if constexpr (drafts)
      model.layers.resize(s.layers, 0);
    else
      model.layers.resize(s.layers);
    shape<0>(s, 0);
  }
  /// So many of the layers behind the last, to draft with.
  void add_drafts(const ModelSpec& s, int layers) requires drafts {
    model.layers.resize(s.layers, layers);
    shape<1>(s, s.layers);
  }

  auto operator()(StepContext auto& ctx) const {
    auto residual = model.embed_tokens(ctx);
    model.layers(ctx, residual);
    return head(ctx, model.norm(ctx, residual));
  }
  /// The same of one drafting layer: hidden states kept last, and the tokens behind them, to the logits of what follows those.
  auto draft(StepContext auto& ctx, int index) const requires drafts {
    const Draft& layer = boost::hana::at_c<1>(model.layers.segments).layers[static_cast<std::size_t>(index)];
    auto residual = model.embed_tokens(ctx);
    layer(ctx, residual, ctx.whole.layers + index);
    return head(ctx, layer.shared_head.norm(ctx, residual));
  }

 private:
  template <int Segment> void shape(const ModelSpec& s, int index) {
    auto& layers = boost::hana::at_c<Segment>(model.layers.segments).layers;
    for (auto& layer : layers)
      if constexpr (requires { layer.shape(s, index); }) layer.shape(s, index++);
  }
  template <StepContext Ctx> auto head(Ctx& ctx, Tensor<typename Ctx::act> h) const {
    if constexpr (drafts)
      if (const Batch& b = ctx.batch; b.hiddens > 0)
        run<kernels::gather_rows<typename Ctx::act>>(ctx, {h.data, b.hidden_rows, ctx.hidden, b.hiddens, h.cols, h.stride});
    return lm_head(ctx, h);
  }
};

}  // namespace atom::model
