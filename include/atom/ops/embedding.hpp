#pragma once
// The two ends of a language model, cut by vocabulary over ranks: VocabParallelEmbedding and ParallelLMHead.
#include "atom/ops/embedding_op.hpp"
#include "atom/ops/linear.hpp"
#include "atom/ops/norm.hpp"
#include "atom/ops/sampling_op.hpp"

namespace atom::ops {

/// Token ids -> the residual stream. Ranks hold vocabulary slices; what a rank lacks is zero, and the sum over ranks completes it.
template <class W, Width Vocab, Width Model> struct VocabParallelEmbedding {
  using Weight = model::Param<W, Vocab, Model, TPDim::col>;
  ATOM_MODULE(VocabParallelEmbedding, (Weight, weight));

  template <StepContext Ctx> auto operator()(Ctx& ctx) const {
    using T = typename Ctx::act;
    const int rows = ctx.batch.rows, cols = weight.cols;
    ResidualStream<T> r{temp<T>(ctx, rows, cols), temp<T>(ctx, rows, cols)};
    run<kernels::embed<W, T>>(ctx, {weight.data, ctx.batch.tokens, r.sum.data, rows, cols, ctx.vocab().begin, weight.rows});
    if constexpr (Ctx::tp != 1)
      if (ctx.comm->size() > 1)
        run<kernels::all_reduce<T, typename Ctx::comm_type>>(
            ctx, {r.sum.data, static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols), ctx.comm});
    return r;
  }
};

/// Hidden states -> float logits of the rows somebody asked for, whole vocabulary on every rank; and the best token of each, where
/// the step says where those go.
template <quant::Scheme Q, Width Vocab, Width Model> struct ParallelLMHead : Linear<Q, TPDim::col, Vocab, Model> {
  using Base = Linear<Q, TPDim::col, Vocab, Model>;

  /// x: (batch rows, d_model) -> (logits, vocab) float.
  template <StepContext Ctx> Tensor<float> operator()(Ctx& ctx, Tensor<typename Ctx::act> x) const {
    using T = typename Ctx::act;
    const int rows = ctx.batch.logits, vocab = ctx.whole_vocab();
    auto all = temp<float>(ctx, rows, vocab);
    auto f = ctx.frame();
    const auto outside = ctx.outside();
    x = {x.data, x.rows - ctx.batch.padding, x.cols, x.stride};
    if (ctx.batch.logit_rows) {
      auto wanted = temp<T>(ctx, rows, x.cols);
      run<kernels::gather_rows<T>>(ctx, {x.data, ctx.batch.logit_rows, wanted.data, rows, x.cols, x.stride});
      x = wanted;
    }
    if constexpr (Ctx::tp != 1)
      if (ctx.comm->size() > 1) {
        auto mine = temp<float>(ctx, rows, this->weight.rows);
        Base::operator()(ctx, x, mine);
        run<kernels::all_gather<float, typename Ctx::comm_type>>(
            ctx, {mine.data, all.data, rows, mine.cols, ctx.vocab_stride(), vocab, ctx.comm});
        find_best(ctx, all);
        return all;
      }
    if constexpr (Base::template fuses<Ctx, kernels::Best>)
      if (ctx.batch.best && this->template fused<kernels::Best>(ctx, x, all, ctx.batch.best)) return all;
    Base::operator()(ctx, x, all);
    find_best(ctx, all);
    return all;
  }

 private:
  /// The same in a launch of its own.
  template <StepContext Ctx> static void find_best(Ctx& ctx, Tensor<float> logits) {
    if constexpr (joins<kernels::best_tokens, typename Ctx::target>)
      if (ctx.batch.best) run<kernels::best_tokens>(ctx, {logits.data, ctx.batch.best, logits.rows, logits.cols, logits.stride});
  }
};

}  // namespace atom::ops
