#pragma once
// How sure a router is of its choice, row by row: where two experts are nearly as likely, rounding decides which one a row goes to,
// and no bound on rounding errors holds for that row.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "atom/engine/session.hpp"
#include "atom/model/deepseek_v3.hpp"
#include "atom/model/glm4_moe.hpp"
#include "atom/model/gpt_oss.hpp"
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
struct watched_deepseek_v2 : watched {
  static constexpr model::ModelSpec spec{.arch = model::Arch::deepseek_v2,
                                         .attn = {.head_dim = 96, .latent = {.rank = 128, .rope = 32, .nope = 64, .value = 64}},
                                         .moe = model::any_moe};
};
struct watched_deepseek_v3 : watched {
  static constexpr model::ModelSpec spec{
      .arch = model::Arch::deepseek_v3,
      .attn = {.head_dim = 192, .latent = {.rank = 512, .rope = 64, .nope = 128, .value = 128, .q_rank = dynamic}},
      .moe = model::any_moe};
};
struct watched_gpt_oss : watched {
  static constexpr model::ModelSpec spec{
      .arch = model::Arch::gpt_oss, .attn = {.head_dim = 64, .qkv_bias = 1, .o_bias = 1, .window = dynamic}, .moe = model::any_moe};
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
      const auto closer = [&](float distance) {
        float& margin = test::router_margins[static_cast<std::size_t>(r)];
        margin = std::min(margin, per_score * distance);
      };
      // Groups first: the distance of the last one chosen to the first that was not.
      const int size = a.experts / a.groups;
      std::vector<float> group, sorted;
      for (int g = 0; g < a.groups; ++g) {
        std::vector<float> values;
        for (int e = g * size; e < (g + 1) * size; ++e) values.push_back(value(e));
        std::sort(values.rbegin(), values.rend());
        group.push_back(Rule::biased && size > 1 ? values[0] + values[1] : values[0]);
      }
      sorted = group;
      std::sort(sorted.rbegin(), sorted.rend());
      const auto last_group = static_cast<std::size_t>(a.top_groups - 1);
      if (a.top_groups < a.groups) closer(sorted[last_group] - sorted[last_group + 1]);
      const int* chosen = a.expert + r * a.top_k;
      const float last = value(chosen[a.top_k - 1]);
      for (int e = 0; e < a.experts; ++e) {
        const bool takes_part = group[static_cast<std::size_t>(e / size)] >= sorted[last_group];
        if (takes_part && std::find(chosen, chosen + a.top_k, e) == chosen + a.top_k) closer(last - value(e));
      }
    }
  }
};
template <> inline const engine::DeviceKind& engine::device_kind<test::Watched>() { return device_kind<Ref>(); }

namespace test {

inline engine::Registry watched_builds() {
  engine::Registry builds;
  builds.add(engine::variant<watched_mixtral, model::Mixtral>("watched_mixtral"));
  builds.add(engine::variant<watched_qwen3_moe, model::Qwen3Moe>("watched_qwen3_moe"));
  builds.add(engine::variant<watched_gpt_oss, model::GptOss>("watched_gpt_oss"));
  builds.add(engine::variant<watched_glm4_moe, model::Glm4Moe>("watched_glm4_moe"));
  builds.add(engine::variant<watched_deepseek_v2, model::DeepseekV2>("watched_deepseek_v2"));
  builds.add(engine::variant<watched_deepseek_v3, model::DeepseekV3>("watched_deepseek_v3"));
  return builds;
}

/// The margins of a prompt's rows, in float.
inline std::vector<float> margins_of(const std::string& model_dir, const std::vector<int>& ids,
                                     const engine::Registry& builds = watched_builds()) {
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
