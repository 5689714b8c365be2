// Composes a module from the installed headers alone and runs it on Ref.
#include <cstdio>

#include "atom/model/build.hpp"
#include "atom/ops/activation.hpp"
#include "atom/ops/linear.hpp"
#include "atom/ops/ref.hpp"

namespace mine {

using namespace atom;
using namespace atom::model;

struct tiny {
  static constexpr ModelSpec spec{
      .d_model = 4, .d_ff = 2, .vocab = 8, .layers = 1, .attn = {.heads = 1, .kv_heads = 1, .head_dim = 4}};
  static constexpr Parallel parallel{.tp = 1};
  using backend = Ref;
  using act = float;
  using kv = float;
  using quants = Quants<quant::NoAs<float>>;
};

template <Build M> struct Mlp {
  static constexpr Sizes<M> S{};
  using Up = ops::Linear<typename M::quants::mlp, TPDim::col, S(Axis::d_ff, Axis::d_ff), S(Axis::d_model)>;
  using Down = ops::Linear<typename M::quants::mlp, TPDim::row, S(Axis::d_model), S(Axis::d_ff)>;
  ATOM_MODULE(Mlp, (Up, up), (Down, down));

  auto operator()(StepContext auto& ctx, auto x) const { return down(ctx, ops::silu_mul<Down>(ctx, up(ctx, x))); }
};

}  // namespace mine

int main() {
  using namespace atom;
  float up[4 * 4], down[4 * 2];
  for (float& w : up) w = 0.5f;
  for (float& w : down) w = 1;
  mine::Mlp<mine::tiny> mlp;
  static_cast<Tensor<float, 4, 4>&>(mlp.up.weight).data = up;
  static_cast<Tensor<float, 4, 2>&>(mlp.down.weight).data = down;

  alignas(64) std::byte memory[1024];
  model::ModelContext<mine::tiny> ctx;
  ctx.arena = {memory, sizeof memory};
  float x[4] = {1, 2, 3, 4};  // up: 5 everywhere; silu(5) * 5 = 24.8327; down sums two of them
  const auto y = mlp(ctx, Tensor<float>(x, 1, 4));
  std::printf("%.4f\n", double{y.data[0]});
  return y.data[0] > 49.66f && y.data[0] < 49.67f ? 0 : 1;
}
