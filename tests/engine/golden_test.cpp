// Whole models against logits that an independent implementation computed in float32 on the same bf16 weights.
#include "golden.hpp"

#include <gtest/gtest.h>
#include <string>

namespace atom::engine {
namespace {

using namespace test;

struct Case {
  const char* model;
  const char* backend;
  DType act;
  int tp;
  bool ep = false;
  [[nodiscard]] ExecutorOptions options() const {
    auto o = test::options(dir_of(model), backend, act, tp);
    o.expert_parallel = ep;
    return o;
  }
};

class GoldenLogits : public testing::TestWithParam<Case> {};

TEST_P(GoldenLogits, Match) {
  const auto [model, backend, act, tp, ep] = GetParam();
  const Golden golden(dir_of(model), rows_for(backend));
  const auto got = all_logits(GetParam().options(), golden.ids);
  if (act == DType::f32)
    EXPECT_LE(difference(got, golden.logits).worst, 2e-3);
  else
    EXPECT_LE(golden.of_sure_rows(0.02f, got).relative, 2e-2);
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const char* model :
       {"llama", "llama2_mha", "qwen2", "qwen3", "mixtral", "qwen3_moe", "glm4_moe", "gpt_oss", "gpt_oss_mxfp4"})
    for (const char* backend : {"ref", "cpu"})
      for (DType act : {DType::f32, DType::bf16})
        for (int tp : {1, 2, 4})
          if (tp < 4 || std::string_view(model) == "llama" || std::string_view(model) == "mixtral" ||
              std::string_view(model).starts_with("gpt_oss"))
            all.push_back({model, backend, act, tp});  // the others have two heads
  for (const char* model : {"mixtral", "qwen3_moe", "glm4_moe", "gpt_oss", "gpt_oss_mxfp4"})
    for (const char* backend : {"ref", "cpu"})
      for (DType act : {DType::f32, DType::bf16})
        for (int tp : {2, 4})
          if (tp < 4 || std::string_view(model) == "mixtral" || std::string_view(model).starts_with("gpt_oss"))
            all.push_back({model, backend, act, tp, true});
  return all;
}
INSTANTIATE_TEST_SUITE_P(Hf, GoldenLogits, testing::ValuesIn(cases()), [](const auto& test) {
  const Case& c = test.param;
  return std::string(c.model) + "_" + c.backend + (c.act == DType::f32 ? "_f32" : "_bf16") + (c.ep ? "_ep" : "_tp") +
         std::to_string(c.tp);
});

class GoldenGreedy : public testing::TestWithParam<const char*> {};

TEST_P(GoldenGreedy, ContinuationMatches) {
  const std::string dir = dir_of(GetParam());
  const SafeTensors golden(dir + "/golden.safetensors");
  Executor executor(options(dir, "cpu", DType::f32, 1), universal_builds());
  Session session(executor);
  const float* logits = session.feed(test::ids(golden, "input_ids"));
  for (int want : test::ids(golden, "greedy_ids")) {
    const int got = session.sample(logits, {.temperature = 0});
    ASSERT_EQ(got, want);
    logits = session.decode(got);
  }
}
INSTANTIATE_TEST_SUITE_P(Hf, GoldenGreedy,
                         testing::Values("llama", "llama2_mha", "qwen2", "qwen3", "mixtral", "qwen3_moe", "glm4_moe", "gpt_oss"),
                         [](const auto& test) { return std::string(test.param); });

TEST(Prefill, ChunksDoNotMatter) {
  for (const char* model : {"llama", "mixtral", "qwen3_moe", "glm4_moe", "gpt_oss"}) {
    const SafeTensors golden(dir_of(model) + "/golden.safetensors");
    const auto ids = test::ids(golden, "input_ids");
    const auto whole = all_logits(options(dir_of(model), "cpu", DType::f32, 1), ids);
    for (int rows : {1, 7, 16})
      EXPECT_LE(difference(all_logits(options(dir_of(model), "cpu", DType::f32, 1, rows), ids), whole).worst, 1e-4) << model;
  }
}

// With one layer, a row of a window knows nothing of what lies before: as if the prompt began with the window.
TEST(Window, LastTokensDecide) {
  std::vector<int> ids;
  for (int i = 0; i < 45; ++i) ids.push_back(i * 37 % 101);
  for (const char* architecture : {"MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "MixtralForCausalLM"})
    for (const char* backend : {"ref", "cpu"})
      for (int window : {1, 5, 17}) {
        SCOPED_TRACE(testing::Message() << architecture << " on " << backend << ", window " << window);
        test::TempDir dir;
        test::RandomCheckpoint c{.architecture = architecture, .layers = 1};
        c.fill().write(dir.path());
        const auto last = [&](const std::vector<int>& tokens, int rows) {
          const auto all = all_logits(options(dir.path(), backend, DType::f32, 1, rows), tokens);
          return std::vector<float>(all.end() - c.vocab, all.end());
        };
        const std::vector<int> tail(ids.end() - window, ids.end());
        const auto want = last(tail, 64), everything = last(ids, 64);
        c.window = window;
        c.write(dir.path());
        EXPECT_LE(difference(last(ids, 64), want).worst, 1e-4);
        EXPECT_LE(difference(last(ids, 7), want).worst, 1e-4) << "in chunks";
        EXPECT_GE(difference(everything, want).worst, 1e-2) << "the window shows";
      }
}

// All experts in one tensor, upright or transposed: the same model. Widths at which one of the two weights is square.
TEST(PackedExperts, AreTheSameModel) {
  const std::vector<int> ids{5, 17, 99, 3, 3, 42, 7};
  for (const int expert_ff : {48, 32, 64})
    for (const bool transposed : {false, true}) {
      SCOPED_TRACE(testing::Message() << expert_ff << (transposed ? ", transposed" : ", upright"));
      test::TempDir dir;
      test::RandomCheckpoint c{.architecture = "Qwen3MoeForCausalLM", .expert_ff = expert_ff};
      c.fill().write(dir.path());
      const auto want = all_logits(options(dir.path(), "cpu", DType::f32, 1), ids);
      c.pack_experts(transposed);
      c.write(dir.path());
      EXPECT_EQ(all_logits(options(dir.path(), "cpu", DType::f32, 1), ids), want);
      EXPECT_LE(difference(all_logits(options(dir.path(), "ref", DType::f32, 2), ids), want).worst, 2e-4);
    }
}

// KV heads cut, then replicated (tp 4 on two heads); a vocabulary that does not divide; biases added once; experts cut, beside
// dense layers too.
TEST(TensorParallel, RanksGiveOneRanksLogits) {
  for (const char* architecture : {"Qwen3ForCausalLM", "Qwen2ForCausalLM", "LlamaForCausalLM", "MixtralForCausalLM",
                                   "Qwen3MoeForCausalLM", "Glm4MoeForCausalLM", "DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM"})
    for (const char* backend : {"ref", "cpu"}) {
      test::TempDir dir;
      const bool glm4 = std::string_view(architecture).starts_with("Glm4");
      test::RandomCheckpoint{.architecture = architecture, .head_dim = glm4 ? 128 : 64, .dense_layers = {0}}.fill().write(
          dir.path());
      std::vector<int> ids;
      for (int i = 0; i < 40; ++i) ids.push_back(i * 37 % 101);
      const auto one = all_logits(options(dir.path(), backend, DType::f32, 1), ids);
      for (int tp : {2, 4})
        EXPECT_LE(difference(all_logits(options(dir.path(), backend, DType::f32, tp), ids), one).worst, 2e-4)
            << architecture << " on " << backend << ", tp " << tp;
    }
}

// Whole experts on each rank: five on two and four, and on three, whose number does not divide an expert's width either; shared
// experts and all else cut.
TEST(ExpertParallel, RanksGiveOneRanksLogits) {
  for (const char* architecture :
       {"MixtralForCausalLM", "Qwen3MoeForCausalLM", "Glm4MoeForCausalLM", "DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM"})
    for (const int heads : {4, 6})
      for (const char* backend : {"ref", "cpu"}) {
        const std::string_view name = architecture;
        if (name.starts_with("Deep") && heads == 6) continue;  // one key head each
        test::TempDir dir;
        const bool glm4 = name.starts_with("Glm4"), uneven = name.starts_with("Qwen3") && heads == 6;
        test::RandomCheckpoint{.architecture = architecture,
                               .heads = heads,
                               .kv_heads = heads / 2,
                               .head_dim = glm4 ? 128 : 64,
                               .expert_ff = uneven ? 50 : 48,
                               .dense_layers = {0}}
            .fill()
            .write(dir.path());
        std::vector<int> ids;
        for (int i = 0; i < 40; ++i) ids.push_back(i * 37 % 101);
        const auto one = all_logits(options(dir.path(), backend, DType::f32, 1), ids);
        for (int tp : heads == 4 ? std::vector{2, 4} : std::vector{3})
          EXPECT_LE(difference(all_logits(sharing_experts(options(dir.path(), backend, DType::f32, tp)), ids), one).worst, 2e-4)
              << architecture << " on " << backend << ", " << tp << " ranks";
      }
}

// Weights of every stored type reach the kernels unharmed: the same bf16 values, stored wider, give the same logits.
TEST(WeightTypes, WiderStorageChangesNothing) {
  std::vector<int> ids;
  for (int i = 0; i < 24; ++i) ids.push_back(i * 29 % 101);
  std::vector<float> first;
  for (DType type : {DType::bf16, DType::f32}) {
    test::TempDir dir;
    test::RandomCheckpoint c{.tied = false, .dtype = DType::bf16};
    c.fill();
    if (type == DType::f32) {
      for (auto& t : c.tensors) {
        std::vector<std::byte> wide(t.data.size() * 2);
        for (std::size_t i = 0; i < t.data.size() / 2; ++i) {
          bf16 v;
          std::memcpy(&v, t.data.data() + 2 * i, 2);
          const float f = v;
          std::memcpy(wide.data() + 4 * i, &f, 4);
        }
        t.data = std::move(wide);
        t.dtype = DType::f32;
      }
      c.dtype = DType::f32;
    }
    c.write(dir.path());
    for (const char* backend : {"ref", "cpu"}) {
      const auto got = all_logits(options(dir.path(), backend, DType::f32, 1), ids);
      if (first.empty()) first = got;
      EXPECT_LE(difference(got, first).worst, 2e-4) << backend;
    }
  }
}

TEST(WeightTypes, Fp16RunsOnBothBackends) {
  test::TempDir dir;
  test::RandomCheckpoint{.architecture = "LlamaForCausalLM", .dtype = DType::f16}.fill().write(dir.path());
  const std::vector<int> ids{5, 17, 99, 3, 3, 42};
  const auto ref = all_logits(options(dir.path(), "ref", DType::f32, 1), ids);
  EXPECT_LE(difference(all_logits(options(dir.path(), "cpu", DType::f32, 1), ids), ref).worst, 2e-4);
  EXPECT_LE(difference(all_logits(options(dir.path(), "cpu", DType::bf16, 1), ids), ref).relative, 3e-2);
}

// int8 weights and activations: the Cpu kernels follow the reference, and stay near the unquantised golden.
TEST(Int8, FollowsReferenceAndGolden) {
  for (const char* model : {"llama", "qwen3", "mixtral", "qwen3_moe", "glm4_moe", "gpt_oss"}) {
    const Golden golden(dir_of(model));
    auto cpu_options = options(dir_of(model), "cpu", DType::f32, 1), ref_options = cpu_options;
    ref_options.backend = "ref";
    ref_options.quant = cpu_options.quant = "int8";
    const auto cpu = all_logits(cpu_options, golden.ids);
    const std::vector<int> some(golden.ids.begin(), golden.ids.begin() + static_cast<std::ptrdiff_t>(rows_for("ref")));
    EXPECT_LE(difference(all_logits(ref_options, some), cpu).relative, 1e-2) << model;
    const auto near_golden = [&](const std::vector<float>& got) {
      EXPECT_LE(golden.of_sure_rows(0.12f, got).relative, 5e-2) << model;
    };
    near_golden(cpu);
    cpu_options.act = DType::bf16;
    near_golden(all_logits(cpu_options, golden.ids));
    cpu_options.tensor_parallel_size = 2;
    near_golden(all_logits(cpu_options, golden.ids));
    if (read_config(dir_of(model)).spec.moe.experts > 0) near_golden(all_logits(sharing_experts(cpu_options), golden.ids));
  }
}

}  // namespace
}  // namespace atom::engine
