// What the loader refuses, and that it says everything at once.
#include <cmath>
#include <gtest/gtest.h>

#include "atom/engine/executor.hpp"
#include "atom/engine/session.hpp"
#include "atom/engine/universal.hpp"

#include "checkpoints.hpp"

namespace atom::engine {
namespace {

// The message of the error that loading gives; empty when it loads.
std::string refusal(const test::RandomCheckpoint& c, void (*change)(ExecutorOptions&) = nullptr) {
  test::TempDir dir;
  c.write(dir.path());
  ExecutorOptions o;
  o.model_dir = dir.path();
  o.backend = "ref";
  o.max_rows = 4;
  if (change) change(o);
  try {
    Executor executor(o, universal_builds());
  } catch (const Error& e) {
    return e.what();
  }
  return {};
}

bool mentions(const std::string& message, std::string_view part) { return message.find(part) != std::string::npos; }

test::RandomCheckpoint checkpoint() {
  test::RandomCheckpoint c;
  c.fill();
  return c;
}

TEST(Loader, AcceptsAWholeCheckpoint) { EXPECT_EQ(refusal(checkpoint()), ""); }

TEST(Loader, ListsAllProblemsAtOnce) {
  auto c = checkpoint();
  std::erase_if(c.tensors, [](const auto& t) { return t.name == "model.layers.1.mlp.up_proj.weight"; });
  c.at("model.norm.weight").shape = {32, 2};
  c.at("model.layers.0.self_attn.k_proj.weight").dtype = DType::i32;
  c.at("model.layers.0.self_attn.k_proj.weight").shape = {64, 64};
  c.tensors.push_back({"model.layers.0.extra.weight", {1}, DType::bf16, std::vector<std::byte>(2)});
  const auto message = refusal(c);
  EXPECT_TRUE(mentions(message, "model.layers.1.mlp.up_proj.weight: missing")) << message;
  EXPECT_TRUE(mentions(message, "model.norm.weight")) << message;
  EXPECT_TRUE(mentions(message, "shape [32, 2], config.json asks for [64]")) << message;
  EXPECT_TRUE(mentions(message, "model.layers.0.self_attn.k_proj.weight")) << message;
  EXPECT_TRUE(mentions(message, "model.layers.0.extra.weight")) << message;
  EXPECT_TRUE(mentions(message, "unexpected")) << message;
  EXPECT_TRUE(mentions(message, "model.safetensors")) << "names the file: " << message;
}

TEST(Loader, NamesTheExpertThatIsMissingOrWrong) {
  for (const char* architecture : {"MixtralForCausalLM", "Qwen3MoeForCausalLM"}) {
    const bool mixtral = architecture[0] == 'M';
    const std::string moe = std::string("model.layers.1.") + (mixtral ? "block_sparse_moe." : "mlp.");
    const std::string up = moe + "experts.3." + (mixtral ? "w3" : "up_proj") + ".weight";
    const std::string down = moe + "experts.4." + (mixtral ? "w2" : "down_proj") + ".weight";
    const std::string extra = moe + "experts.5." + (mixtral ? "w1" : "gate_proj") + ".weight";
    test::RandomCheckpoint c{.architecture = architecture};
    c.fill();
    EXPECT_EQ(refusal(c), "");
    std::erase_if(c.tensors, [&](const auto& t) { return t.name == up; });
    c.at(down).shape = {c.at(down).shape[1], c.at(down).shape[0]};
    c.at(moe + "gate.weight").dtype = DType::i32;
    c.at(moe + "gate.weight").shape = {5, 32};
    c.tensors.push_back({extra, {1}, DType::bf16, std::vector<std::byte>(2)});
    const auto message = refusal(c);
    EXPECT_TRUE(mentions(message, up + ": missing")) << message;
    EXPECT_TRUE(mentions(message, down + " (")) << message;
    EXPECT_TRUE(mentions(message, moe + "gate.weight (")) << message;
    EXPECT_TRUE(mentions(message, extra + " (")) << message;
    EXPECT_TRUE(mentions(message, "): shape [5, 32], config.json asks for [5, 64]")) << message;
    EXPECT_TRUE(mentions(
        message, mixtral ? "): shape [96, 64], config.json asks for [64, 96]" : "): shape [48, 64], config.json asks for [64, 48]"))
        << message;
    EXPECT_TRUE(mentions(message, "): unexpected; nothing in this architecture reads it")) << message;
  }
}

TEST(Loader, PackedExpertsOfTheWrongShapeAreNamedOnce) {
  test::RandomCheckpoint c{.architecture = "Qwen3MoeForCausalLM"};
  c.fill().pack_experts(true);
  EXPECT_EQ(refusal(c), "");
  auto fewer = c;
  fewer.experts = 6;  // config.json says one more than the tensors hold
  std::string message = refusal(fewer);
  EXPECT_TRUE(mentions(message, "model.layers.1.mlp.experts.gate_up_proj (")) << message;
  EXPECT_TRUE(mentions(message, "shape [5, 64, 96], config.json asks for [6, 96, 64], or [6, 64, 96] throughout")) << message;
  auto mixed = c;
  std::swap(mixed.at("model.layers.1.mlp.experts.down_proj").shape[1], mixed.at("model.layers.1.mlp.experts.down_proj").shape[2]);
  message = refusal(mixed);
  EXPECT_TRUE(mentions(message, "model.layers.1.mlp.experts.down_proj (")) << message;
  EXPECT_EQ(message.find("\n"), message.npos) << "one problem, not one for each expert: " << message;
  auto absent = c;
  std::erase_if(absent.tensors, [](const auto& t) { return t.name == "model.layers.1.mlp.experts.down_proj"; });
  message = refusal(absent);
  EXPECT_TRUE(mentions(message, "model.layers.1.mlp.experts.4.down_proj.weight: missing")) << message;
}

struct Warnings : Progress {
  std::vector<std::string> sentences;
  void update(std::string_view, std::size_t, std::size_t) override {}
  void warn(std::string_view s) override { sentences.emplace_back(s); }
};

// What a checkpoint holds behind its last layer drafts tokens: left out, and said. Beyond what config.json announces, it is
// refused; names that can mean nothing else need no announcement.
TEST(Loader, LeavesOutLayersThatDraft) {
  test::RandomCheckpoint c{.architecture = "Glm4MoeForCausalLM", .head_dim = 128, .dense_layers = {0}};
  c.fill();
  const std::size_t last = c.tensors.size();
  for (const char* name : {"model.layers.2.eh_proj.weight", "mtp.fc.weight"})
    c.tensors.push_back({name, {1}, DType::bf16, std::vector<std::byte>(2)});
  test::TempDir dir;
  c.write(dir.path());
  Warnings warnings;
  ExecutorOptions o;
  o.model_dir = dir.path();
  o.progress = &warnings;
  Executor executor(o, universal_builds());
  ASSERT_EQ(warnings.sentences.size(), 1U);
  EXPECT_TRUE(mentions(warnings.sentences[0], "model.safetensors: 2 tensors of layers behind the last")) << warnings.sentences[0];
  c.tensors[last].name = "model.layers.3.eh_proj.weight";
  c.tensors.push_back({"model.layers.2x", {1}, DType::bf16, std::vector<std::byte>(2)});
  EXPECT_TRUE(mentions(refusal(c), "model.layers.3.eh_proj.weight")) << refusal(c);
  EXPECT_TRUE(mentions(refusal(c), "model.layers.2x")) << refusal(c);
}

TEST(Loader, NamesTheLayerThatWouldDraftAndIsNotThere) {
  test::TempDir dir;
  test::RandomCheckpoint{.architecture = "DeepseekV3ForCausalLM", .dense_layers = {0}}.fill().write(dir.path());
  const std::string config = dir.path() + "/config.json";
  std::string text(std::istreambuf_iterator<char>(std::ifstream(config).rdbuf()), {});
  text.insert(text.rfind('}'), ", \"num_nextn_predict_layers\": 1");
  std::ofstream(config) << text;
  ExecutorOptions o;
  o.model_dir = dir.path();
  EXPECT_NO_THROW(Executor(o, universal_builds()));
  o.draft_layers = 1;
  test::expect_error(
      [&] { Executor(o, universal_builds()); },
      "model.layers.2.eh_proj.weight: missing; config.json announces this layer, which drafts: use --method ngram or none");
}

TEST(Loader, RefusesMixedTypesThatWouldLosePrecision) {
  auto c = checkpoint();
  auto& t = c.at("model.layers.0.mlp.down_proj.weight");
  t.dtype = DType::f16;
  const auto message = refusal(c);
  EXPECT_TRUE(mentions(message, "down_proj.weight")) << message;
  EXPECT_TRUE(mentions(message, "type F16, this build reads BF16")) << message;
}

TEST(Loader, MissingHeadNamesTheSwitch) {
  auto c = checkpoint();
  c.tied = false;
  EXPECT_TRUE(mentions(refusal(c), "tie_word_embeddings"));
}

TEST(Loader, IgnoresATiedHeadInTheFile) {
  auto c = checkpoint();
  c.tensors.push_back({"lm_head.weight", {1}, DType::bf16, std::vector<std::byte>(2)});
  EXPECT_EQ(refusal(c), "");
}

TEST(Bad07, WhatNoBuildAdmitsIsRefusedWithACommand) {
  const auto wide = [] {
    test::RandomCheckpoint c{.head_dim = 32};
    c.fill();
    return c;
  }();
  EXPECT_TRUE(mentions(refusal(wide), "no build in this binary admits architecture Qwen3 with head_dim 32")) << refusal(wide);
  test::RandomCheckpoint half{.dtype = DType::f16};
  half.fill();
  EXPECT_TRUE(mentions(refusal(half, [](ExecutorOptions& o) { o.quant = "int8"; }), "--quant int8"));
}

TEST(Loader, RefusesRanksThatDoNotDivide) {
  EXPECT_TRUE(mentions(refusal(checkpoint(), [](ExecutorOptions& o) { o.tensor_parallel_size = 3; }),
                       "must divide the model's 4 attention heads"));
  EXPECT_EQ(refusal(checkpoint(), [](ExecutorOptions& o) { o.tensor_parallel_size = 2; }), "");
}

TEST(Loader, RefusesRanksThatDoNotDivideExperts) {
  test::RandomCheckpoint c{.architecture = "Qwen3MoeForCausalLM", .expert_ff = 33};
  c.fill();
  EXPECT_TRUE(mentions(refusal(c, [](ExecutorOptions& o) { o.tensor_parallel_size = 2; }), "the experts' intermediate size 33"));
}

// A rank takes memory for its own experts alone, five on two ranks, and reads the others' headers: what is missing is still missed.
TEST(Loader, RanksThatShareExpertsOutHaveTheirsAlone) {
  test::RandomCheckpoint c{.architecture = "Qwen3MoeForCausalLM", .expert_ff = 33};
  c.fill();
  const auto shared_out = [](ExecutorOptions& o) {
    o.tensor_parallel_size = 2;
    o.expert_parallel = true;
  };
  EXPECT_EQ(refusal(c, shared_out), "") << "a width that ranks do not divide";
  c = {.architecture = "Qwen3MoeForCausalLM"};
  c.fill();
  test::TempDir dir;
  c.write(dir.path());
  const auto weights = [&](int tp, bool ep) {
    ExecutorOptions o;
    o.model_dir = dir.path();
    o.quant = "int8";  // copied, whatever the file's layout
    o.tensor_parallel_size = tp;
    o.expert_parallel = ep;
    const Executor executor(o, universal_builds());
    return std::pair(executor.memory().weights, executor.parameters());
  };
  const auto cut = weights(2, false), shared = weights(2, true), one = weights(1, false);
  EXPECT_EQ(shared.second, one.second);
  EXPECT_LE(shared.first, cut.first) << "experts are stored once";
  std::erase_if(c.tensors, [](const auto& t) { return t.name == "model.layers.1.mlp.experts.4.down_proj.weight"; });
  EXPECT_TRUE(mentions(refusal(c, shared_out), "model.layers.1.mlp.experts.4.down_proj.weight: missing"));
}

TEST(Loader, RefusesExpertsThatCannotBeSharedOut) {
  const auto shared_out = [](ExecutorOptions& o) {
    o.tensor_parallel_size = 4;
    o.expert_parallel = true;
  };
  EXPECT_TRUE(mentions(refusal(checkpoint(), shared_out), "--enable-expert-parallel: this model has no experts"));
  test::RandomCheckpoint few{.architecture = "Qwen3MoeForCausalLM", .experts = 3};
  few.fill();
  EXPECT_TRUE(mentions(refusal(few, shared_out), "every rank needs an expert, and the model has 3"));
  test::RandomCheckpoint wide{.architecture = "Qwen3MoeForCausalLM", .expert_ff = 33};
  wide.fill();
  EXPECT_TRUE(mentions(refusal(wide, [](ExecutorOptions& o) { o.tensor_parallel_size = 2; }), "or --enable-expert-parallel"));
}

// Experts need scratch of their own: here they are wider than everything else, and a step must fit what was planned.
TEST(Loader, WideExpertsAndDummyWeightsRun) {
  for (const char* dummy : {"none", "random", "zero"})
    for (const char* backend : {"ref", "cpu"})
      for (const char* quant : {"none", "int8"}) {
        if (std::string(backend) == "ref" && std::string(dummy) != "none") continue;  // weights are made before a backend has them
        test::TempDir dir;
        test::RandomCheckpoint{.architecture = "Qwen3MoeForCausalLM", .expert_ff = 1000, .dense_layers = {1}}.fill().write(
            dir.path());
        ExecutorOptions o;
        o.model_dir = dir.path();
        o.backend = backend;
        o.quant = quant;
        o.dummy = dummy;
        Executor executor(o, universal_builds());
        Session session(executor);
        std::vector<int> ids(40, 7);
        const float* logits = session.feed(ids);
        for (int v = 0; v < executor.vocab(); ++v) ASSERT_TRUE(std::isfinite(logits[v])) << dummy << " " << backend << " " << quant;
        EXPECT_EQ(executor.parameters(),
                  64u * 101 + 64 + 2 * (2 * 64 + 2 * 64 + 64u * 64 * (4 + 2 + 2 + 4)) + 3u * 96 * 64 + 5u * 64 + 15u * 1000 * 64);
      }
}

TEST(Loader, PlansWithoutReadingWeights) {
  test::TempDir dir;
  checkpoint().write(dir.path());
  ExecutorOptions o;
  o.model_dir = dir.path();
  o.backend = "ref";
  o.dry = true;
  const Executor dry(o, universal_builds());
  o.dry = false;
  const Executor real(o, universal_builds());
  EXPECT_EQ(dry.memory().weights, real.memory().weights);
  EXPECT_EQ(dry.memory().kv_cache, real.memory().kv_cache);
  EXPECT_GT(dry.memory().activations, 0u);
}

}  // namespace
}  // namespace atom::engine
