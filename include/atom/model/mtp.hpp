#pragma once
// Multi-token prediction: a layer behind the last that drafts the token after next, with the model's own embedding and head.
// DeepSeek-V3, https://arxiv.org/abs/2412.19437, section 2.2
#include "atom/model/decoder.hpp"

namespace atom::model {

/// x = W [enorm(embedding of the next token) | hnorm(hidden state)], then a whole decoder layer, whose parameters lie beside these.
/// The hidden state is the last one behind the final norm: the model's, or, of a draft's draft, this layer's behind
/// shared_head.norm.
template <Build M, class Layer> struct MtpLayer {
  static constexpr Sizes<M> S{};
  using Join = Linear<quant::NoAs<typename M::quants::table>, TPDim::none, S(Axis::d_model), S(Axis::joined)>;
  struct Norm {
    ATOM_MODULE(Norm, (RMSNorm<AddResidual>, norm));
  };
  ATOM_MODULE(MtpLayer, (RMSNorm<>, enorm), (RMSNorm<>, hnorm), (Join, eh_proj), (Norm, shared_head));
  Layer block;

  void shape(const ModelSpec& s, int layer) requires requires(Layer l) { l.shape(s, layer); }
  { block.shape(s, layer); }

  template <StepContext Ctx> void operator()(Ctx& ctx, auto& residual, int layer) const {
    auto f = ctx.frame();
    enter(ctx, residual.sum);
    block(ctx, residual, layer);
  }

  template <class Ctx> void describe(ParamTable& out, const ParamPath& path) {
    collect<Ctx>(*this, out, &path);
    collect<Ctx>(block, out, &path);
  }

 private:
  template <class Ctx, class T> void enter(Ctx& ctx, Tensor<T> x) const {
    auto f = ctx.frame();
    const auto hidden = temp<T>(ctx, x.rows, x.cols), both = temp<T>(ctx, x.rows, 2 * x.cols);
    run<kernels::gather_rows<T>>(ctx, {ctx.hidden, ctx.batch.hidden_from, hidden.data, x.rows, x.cols, x.cols});
    run<kernels::join_rows<T>>(ctx, {enorm(ctx, x).data, hnorm(ctx, hidden).data, both.data, x.rows, x.cols});
    eh_proj(ctx, both, x);
  }
};

}  // namespace atom::model
