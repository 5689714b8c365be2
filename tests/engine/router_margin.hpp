#pragma once
// How sure a router is of its choice, row by row: where two experts are nearly as likely, rounding decides which one a row goes to,
// and no bound on rounding errors holds for that row.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "atom/engine/session.hpp"
#include "atom/model/glm4_moe.hpp"
#include "atom/model/mixtral.hpp"
#include "atom/model/qwen3_moe.hpp"
#include "atom/ops/ref.hpp"

namespace atom {
namespace test {

/// Ref, watched while it routes.
struct Watched : Ref {};
/// (rows): the least distance, over all layers, of the last expert chosen to the first that was not, in logits.
inline std::vector<float> router_margins;

struct watched {
  static constexpr model::Parallel parallel{.tp = 1};
  using backend = Watched;
  using act = float;
  using kv = float;
  using quants = model::Quants<quant::No>;
};
struct watched_mixtral : watched {
  static constexpr model::ModelSpec spec{.arch = model::Arch::mixtral, .attn = {.head_dim = 64}, .moe = model::any_moe};
};
struct watched_qwen3_moe : watched {
  static constexpr model::ModelSpec spec{
      .arch = model::Arch::qwen3_moe, .attn = {.head_dim = 128, .qk_norm = true}, .moe = model::any_moe};
};
struct watched_glm4_moe : watched {
  static constexpr model::ModelSpec spec{
      .arch = model::Arch::glm4_moe, .attn = {.head_dim = 128, .qk_norm = true, .qkv_bias = dynamic}, .moe = model::any_moe};
};

}  // namespace test

template <class Op>
requires HasKernel<Op, Ref>
struct impl<Op, test::Watched> : impl<Op, Ref> {
};
template <moe::TopKRule Rule> struct impl<kernels::route_topk<Rule>, test::Watched> {
  static void run(Ref::stream s, const typename kernels::route_topk<Rule>::args& a) noexcept {
    run_on<kernels::route_topk<Rule>, Ref>(s, a);
    constexpr float per_score = Rule::biased ? 4 : 1;  // a sigmoid moves by a quarter of what its logit does, or less
    for (std::ptrdiff_t r = 0; r < a.rows; ++r) {
      const auto value = [&](int e) {
        const float logit = a.logits[r * a.experts + e];
        if constexpr (Rule::biased)
          return Rule::score::of(logit) + a.bias[e];
        else
          return logit;
      };
      const int* chosen = a.expert + r * a.top_k;
      const float last = value(chosen[a.top_k - 1]);
      for (int e = 0; e < a.experts; ++e) {
        float& margin = test::router_margins[static_cast<std::size_t>(r)];
        if (std::find(chosen, chosen + a.top_k, e) == chosen + a.top_k) margin = std::min(margin, per_score * (last - value(e)));
      }
    }
  }
};
template <> inline const engine::DeviceKind& engine::device_kind<test::Watched>() { return device_kind<Ref>(); }

namespace test {

/// The margins of a prompt's rows, in float.
inline std::vector<float> margins_of(const std::string& model_dir, const std::vector<int>& ids) {
  engine::Registry builds;
  builds.add(engine::variant<watched_mixtral, model::Mixtral>("watched_mixtral"));
  builds.add(engine::variant<watched_qwen3_moe, model::Qwen3Moe>("watched_qwen3_moe"));
  builds.add(engine::variant<watched_glm4_moe, model::Glm4Moe>("watched_glm4_moe"));
  engine::ExecutorOptions o;
  o.model_dir = model_dir;
  o.backend = "ref";
  o.act = DType::f32;
  engine::Executor executor(o, builds);
  engine::Session session(executor);
  router_margins.assign(ids.size(), INFINITY);
  static_cast<void>(session.feed(ids));
  return router_margins;
}

}  // namespace test
}  // namespace atom
