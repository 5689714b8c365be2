// What a forward pass launches, as text: a change of fusion, of order or of cost shows as a diff of tests/model/traces.
// ATOM_UPDATE_TRACES=1 rewrites the files; read the diff before you commit it.
#include <cstdlib>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "atom/engine/loader.hpp"
#include "atom/model/deepseek_v3.hpp"
#include "atom/model/glm4_moe.hpp"
#include "atom/model/gpt_oss.hpp"
#include "atom/model/llama.hpp"
#include "atom/model/mixtral.hpp"
#include "atom/model/qwen2.hpp"
#include "atom/model/qwen3.hpp"
#include "atom/model/qwen3_moe.hpp"
#include "atom/model/qwen3_next.hpp"

#include "trace_text.hpp"
#include "traced_builds.hpp"

namespace atom::model {
namespace {

using namespace traced;

struct Trace {
  std::vector<Dry::Launch> launches;
  std::size_t scratch = 0;
};

/// `rows` tokens of one sequence that has `context` tokens with them; the logits of the last row.
template <class M, template <class> class Net> Trace trace(const ModelSpec& whole, int ranks, int rows, int context, int ep = 1) {
  Net<M> net(whole);
  const Rank rank{0, ranks, ep};
  ModelContext<M, Dry> ctx;
  ParamTable table;
  collect<ModelContext<M, Dry>>(net, table);
  engine::bind_shapes(whole, rank, table);

  Trace t;
  Dry::comm comm{ranks};
  const int first_row[] = {0, rows}, last = rows - 1;
  ctx.stream = &t.launches;
  ctx.comm = &comm;
  ctx.whole = whole;
  ctx.local = shard(whole, rank);
  ctx.rank = rank;
  ctx.numbers.rope.rotary_dim = whole.attn.latent ? whole.attn.latent.rope : whole.attn.head_dim;
  ctx.batch.first_row = first_row;
  ctx.batch.context = &context;
  ctx.batch.logit_rows = &last;
  ctx.batch.rows = rows;
  ctx.batch.seqs = ctx.batch.logits = 1;
  const auto logits = net(ctx);
  EXPECT_EQ(logits.rows, 1);
  EXPECT_EQ(logits.cols, whole.vocab);
  t.scratch = ctx.arena.peak;
  return t;
}

template <class M, template <class> class Net>
void expect_trace(const std::string& name, const ModelSpec& whole, int ranks, int ep = 1) {
  std::string text;
  for (const auto& [rows, context] : {std::pair{1, 1000}, std::pair{64, 64}}) {
    const Trace t = trace<M, Net>(whole, ranks, rows, context, ep);
    text += "rows " + std::to_string(rows) + ", context " + std::to_string(context) + ": " + std::to_string(t.launches.size()) +
            " launches, " + std::to_string(t.scratch) + " bytes of scratch\n" + spell_out(t.launches) + "\n";
  }
  const std::string path = std::string(ATOM_TEST_DATA) + "/../model/traces/" + name + ".txt";
  if (std::getenv("ATOM_UPDATE_TRACES")) std::ofstream(path) << text;
  std::ifstream file(path);
  const std::string golden{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(text, golden) << "if the change is meant: ATOM_UPDATE_TRACES=1, then review " << path;
}

TEST(Trace, Qwen3Static) { expect_trace<qwen3_0_6b, Qwen3>("qwen3_0_6b", qwen3_0_6b::spec, 1); }
TEST(Trace, Qwen3StaticInt8) { expect_trace<qwen3_0_6b_int8, Qwen3>("qwen3_0_6b_int8", qwen3_0_6b_int8::spec, 1); }
TEST(Trace, LlamaDynamicOnTwoRanks) { expect_trace<llama_dynamic, Llama>("llama_8b_dynamic_tp2", llama_8b, 2); }
TEST(Trace, Qwen2Dynamic) { expect_trace<qwen2_dynamic, Qwen2>("qwen2_0_5b_dynamic", qwen2_0_5b, 1); }

TEST(Trace, Qwen3MoeDynamic) { expect_trace<qwen3_moe_dynamic, Qwen3Moe>("qwen3_30b_a3b_dynamic", qwen3_30b_a3b, 1); }
TEST(Trace, MixtralInt8OnTwoRanks) { expect_trace<mixtral_int8, Mixtral>("mixtral_8x7b_int8_tp2", mixtral_8x7b, 2); }
TEST(Trace, Glm4MoeOnTwoRanks) { expect_trace<glm4_moe_dynamic, Glm4Moe>("glm4_5_air_dynamic_tp2", glm4_5_air, 2); }
TEST(Trace, Glm4MoeSharedOutOverTwoRanks) {
  expect_trace<glm4_moe_shared_out, Glm4Moe>("glm4_5_air_dynamic_ep2", glm4_5_air, 2, 2);
}
TEST(Trace, GptOssDynamic) { expect_trace<gpt_oss_dynamic, GptOss>("gpt_oss_20b_dynamic", gpt_oss_20b, 1); }

TEST(Trace, DeepseekV2LiteInt8) { expect_trace<deepseek_v2_lite_int8, DeepseekV2>("deepseek_v2_lite_int8", v2_lite, 1); }
TEST(Trace, DeepseekV3OnEightRanks) { expect_trace<deepseek_v3_dynamic, DeepseekV3>("deepseek_v3_tp8", v3, 8); }

TEST(Trace, Qwen3NextOnTwoRanks) { expect_trace<qwen3_next_dynamic, Qwen3Next>("qwen3_next_80b_tp2", qwen3_next_80b, 2); }

/// A delta net of Qwen3-Next-80B reads and writes a state of 32 heads of 128 x 128 floats, however long the text is.
TEST(Trace, StatesDoNotGrow) {
  const auto bytes = [](int context) {
    double sum = 0;
    for (const auto& launch : trace<qwen3_next_dynamic, Qwen3Next>(qwen3_next_80b, 1, 1, context).launches)
      if (std::string_view(launch.name).starts_with("gated_delta<")) sum += launch.cost.bytes;
    return sum;
  };
  EXPECT_EQ(bytes(5000), bytes(1000));
  EXPECT_GT(bytes(1000), 36.0 * 2 * 4 * 32 * 128 * 128);
  EXPECT_LT(bytes(1000), 36.0 * 2 * 4 * 32 * 128 * 128 * 1.01);  // a row's queries, keys and values on top
}

/// The cache of DeepSeek-V3 holds 576 numbers per token and layer, and a step reads each once, for all of a rank's heads.
TEST(Trace, LatentRowsAreReadOnce) {
  const auto bytes = [](int context) {
    double sum = 0;
    for (const auto& launch : trace<deepseek_v3_dynamic, DeepseekV3>(v3, 8, 1, context).launches)
      if (std::string_view(launch.name).starts_with("latent_attention<")) sum += launch.cost.bytes;
    return sum;
  };
  EXPECT_DOUBLE_EQ(bytes(5000) - bytes(4000), 1000.0 * 61 * 576 * 2);
}

/// A token of Qwen3-30B-A3B reads 8 of a layer's 128 experts, of three matrices each.
TEST(Trace, DecodeReadsTheChosenExpertsOnly) {
  const double weights = 2.0 * 48 * 8 * 3 * 2048 * 768;
  double experts = 0;
  for (const auto& launch : trace<qwen3_moe_dynamic, Qwen3Moe>(qwen3_30b_a3b, 1, 1, 1000).launches)
    if (std::string_view(launch.name).starts_with("expert_linear<")) experts += launch.cost.bytes;
  EXPECT_GT(experts, weights);
  EXPECT_LT(experts, weights * 1.01);  // activations on top
}

/// Where experts may be shared out and are not, the pass is that of a build where they may not.
TEST(Trace, ExpertsThatAreCutCostNothingMore) {
  const Trace open = trace<glm4_moe_shared_out, Glm4Moe>(glm4_5_air, 2, 64, 64),
              fixed = trace<glm4_moe_dynamic, Glm4Moe>(glm4_5_air, 2, 64, 64);
  EXPECT_EQ(spell_out(open.launches), spell_out(fixed.launches));
  EXPECT_EQ(open.scratch, fixed.scratch);
}

/// The parameters of Qwen3-0.6B outside the embedding, from its published dimensions, times two bytes: what a decode step must
/// read.
TEST(Trace, DecodeReadsEveryWeightOnce) {
  const double layer = 1024.0 * (16 + 8 + 8) * 128 + 16 * 128 * 1024.0 + 3 * 1024.0 * 3072, head = 151936.0 * 1024;
  const double weights = 2 * (28 * layer + head);
  double linear = 0;
  for (const auto& launch : trace<qwen3_0_6b, Qwen3>(qwen3_0_6b::spec, 1, 1, 1000).launches)
    if (std::string_view(launch.name).starts_with("linear<")) linear += launch.cost.bytes;
  EXPECT_GT(linear, weights);
  EXPECT_LT(linear, weights * 1.01);  // activations on top
}

/// Rank 0 of two does half of the multiplications.
TEST(Trace, RanksShareTheWork) {
  const auto flops = [](int ranks) {
    double sum = 0;
    for (const auto& launch : trace<llama_dynamic, Llama>(llama_8b, ranks, 64, 64).launches)
      if (std::string_view(launch.name).starts_with("linear<")) sum += launch.cost.flops;
    return sum;
  };
  EXPECT_DOUBLE_EQ(2 * flops(2), flops(1));
}

/// A build that fixes its dimensions and one that reads them from config.json are the same model.
TEST(Trace, StaticAndDynamicAgree) {
  const Trace fixed = trace<qwen3_0_6b, Qwen3>(qwen3_0_6b::spec, 1, 7, 20),
              open = trace<qwen3_dynamic, Qwen3>(qwen3_0_6b::spec, 1, 7, 20);
  EXPECT_EQ(spell_out(fixed.launches), spell_out(open.launches));
  EXPECT_EQ(fixed.scratch, open.scratch);
}

}  // namespace
}  // namespace atom::model
