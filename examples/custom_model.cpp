// A model of your own from atom's modules: decoder layers first, then layers that are only an MLP. Random weights; one pass
// on the reference backend, and one on Dry, which records what would run.   (docs/adding_a_model.md)
#include <cmath>
#include <cstdio>
#include <random>

#include "atom/engine/any_model.hpp"
#include "atom/engine/memory.hpp"
#include "atom/model/llama.hpp"
#include "atom/ops/ref.hpp"
#include "atom/ops/rope_table.hpp"

namespace my {

using namespace atom;
using namespace atom::model;

// A layer is a list of named members and a call operator. The norm asks the type of what follows whether to quantise for it.
template <Build M> struct MlpLayer {
  using Mlp = GatedMlp<M>;
  ATOM_MODULE(MlpLayer, (NormFor<Mlp>, layernorm), (Mlp, mlp));

  void operator()(StepContext auto& ctx, auto& residual, int /*layer*/) const {
    auto f = ctx.frame();
    mlp(ctx, layernorm(ctx, residual), residual.delta);
  }
};

template <Build M> struct TwoKinds {
  static constexpr Sizes<M> S{};
  using Attention = DecoderLayer<M, LlamaAttention<M>>;
  using Layers = Stack<Repeat<Attention>, Repeat<MlpLayer<M>>>;  // compiled once per kind, however many layers
  using Embedding = VocabParallelEmbedding<typename M::quants::table, S(Axis::vocab), S(Axis::d_model)>;
  using Head = ParallelLMHead<typename M::quants::head, S(Axis::vocab), S(Axis::d_model)>;
  ATOM_MODULE(TwoKinds, (Embedding, embed), (Layers, layers), (RMSNorm<AddResidual>, norm), (Head, head));

  explicit TwoKinds(const ModelSpec& s) { layers.resize(s.layers / 2, s.layers - s.layers / 2); }

  auto operator()(StepContext auto& ctx) const {
    auto residual = embed(ctx);
    layers(ctx, residual);
    return head(ctx, norm(ctx, residual));
  }
};

// One named type holds every decision. A head count that does not divide, a dynamic head_dim, a scheme that is none: refused
// by the compiler, in a sentence.
struct tiny {
  static constexpr ModelSpec spec{
      .d_model = 64, .d_ff = 160, .vocab = 97, .layers = 3, .attn = {.heads = 4, .kv_heads = 2, .head_dim = 16}};
  static constexpr Parallel parallel{.tp = 1};
  using backend = Ref;
  using act = float;
  using kv = float;
  using quants = Quants<quant::NoAs<float>, quant::NoAs<float>, quant::NoAs<float>>;
};

}  // namespace my

int main() {
  using my::tiny;
  using namespace atom;
  const model::ModelSpec& spec = tiny::spec;
  const model::Numbers numbers{.attn_scale = 0.25f, .rope = {.rotary_dim = 16}, .max_position = 16};
  engine::Loaded<tiny, my::TwoKinds<tiny>> model(spec, {}, numbers);

  // Parameters are a plain table under the names of the members: here every one gets random weights.
  model::ParamTable table;
  model.parameters(table);
  std::mt19937 random(1);
  std::vector<std::vector<float>> weights;
  const auto length = [&](const model::Width& w) {
    int n = 0;  // a packed weight is as long as its parts together
    for (auto axis : w.parts) n += axis == model::Axis::none ? 0 : model::size(spec, axis);
    return n ? n : 1;
  };
  for (auto& p : table) {
    if (p.when != model::Bias::never && !model::has(spec, p.when)) continue;
    const int rows = length(p.rows), cols = length(p.cols);
    std::normal_distribution<float> normal(0, 1 / std::sqrt(static_cast<float>(cols)));
    auto& w = weights.emplace_back(static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols));
    for (float& x : w) x = p.name.ends_with("norm.weight") ? 1.0f : normal(random);
    p.bind(p.param, w.data(), rows, cols);
    std::printf("%-42s %4d x %-4d\n", p.name.c_str(), rows, cols);
  }

  const int tokens[] = {3, 1, 4, 1, 5}, positions[] = {0, 1, 2, 3, 4}, page[] = {0}, first_row[] = {0, 5}, context[] = {5};
  Batch batch;
  batch.tokens = tokens;
  batch.positions = batch.slots = positions;  // one sequence in page 0: a token's slot is its position
  batch.block_table = page;
  batch.first_row = first_row;
  batch.context = context;
  batch.rows = batch.logits = 5;
  batch.seqs = batch.table_stride = 1;

  // Dry: the same forward pass with no memory behind it. Its peak is the scratch the real one needs.
  const engine::Plan plan = model.plan(batch);
  std::printf("\n%zu launches, %zu bytes of scratch\n", plan.launches.size(), plan.scratch_bytes);
  for (const auto& launch : plan.launches) {
    const std::string_view name = launch.name;
    std::printf("  %-28.*s %8.0f bytes %8.0f flops\n", static_cast<int>(name.size()), name.data(), launch.cost.bytes,
                launch.cost.flops);
  }

  constexpr int positions_cached = kernels::page_tokens;  // one page per layer
  const std::size_t layer_bytes = model.kv_bytes_per_token() * positions_cached;
  const engine::Block scratch(plan.scratch_bytes, "activations"), cache(layer_bytes * std::size_t{tiny::spec.layers}, "KV cache");
  std::vector<float> cos_sin(positions_cached * 16);
  ops::fill_rope_table(numbers.rope, positions_cached, cos_sin.data());
  engine::Resources resources;
  resources.scratch = scratch.data();
  resources.scratch_bytes = scratch.bytes();
  resources.kv = {cache.data(), layer_bytes / 2};
  resources.cos_sin = cos_sin.data();
  model.attach(resources);
  const float* logits = model.step(batch);

  double squares = 0;
  for (int i = 0; i < 5 * spec.vocab; ++i) squares += double{logits[i]} * double{logits[i]};
  std::printf("\nroot mean square of the logits: %.4f\n", std::sqrt(squares / (5 * spec.vocab)));
  return std::isfinite(squares) && squares > 0 ? 0 : 1;
}
