// What the loader refuses, and that it says everything at once.
#include <gtest/gtest.h>

#include "atom/engine/executor.hpp"
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
