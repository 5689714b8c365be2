// DeepSeek-V2 and V3 against logits that an independent implementation computed in float32 on the same bf16 weights.
#include "golden.hpp"

namespace atom::test {
namespace {

struct Case {
  const char* model;
  const char* backend;
  DType act;
  int tp;
  bool ep = false;
};
class DeepseekGolden : public testing::TestWithParam<Case> {};

TEST_P(DeepseekGolden, LogitsMatch) {
  const auto [model, backend, act, tp, ep] = GetParam();
  const std::string dir = dir_of(model);
  const Golden golden(dir, rows_for(backend));
  auto o = options(dir, backend, act, tp);
  o.expert_parallel = ep;
  const auto got = all_logits(o, golden.ids);
  if (act == DType::f32)
    EXPECT_LE(difference(got, golden.logits).worst, 2e-3);
  else
    EXPECT_LE(golden.of_sure_rows(0.02f, got).relative, 2e-2);
}

// One token at a time reads the cache as rows of all heads; pieces of a prompt make keys and values of it.
TEST_P(DeepseekGolden, ChunksDoNotMatter) {
  const auto [model, backend, act, tp, ep] = GetParam();
  if (act != DType::f32 || tp != 1 || std::string_view(backend) != "cpu") return;
  const std::string dir = dir_of(model);
  const auto prompt = ids(SafeTensors(dir + "/golden.safetensors"), "input_ids");
  const auto whole = all_logits(options(dir, backend, act, tp), prompt);
  for (int rows : {1, 7, 48})
    EXPECT_LE(difference(all_logits(options(dir, backend, act, tp, rows), prompt), whole).worst, 2e-4) << rows;
}

TEST_P(DeepseekGolden, ContinuationMatches) {
  const auto [model, backend, act, tp, ep] = GetParam();
  if (act != DType::f32 || ep || std::string_view(backend) != "cpu") return;
  const std::string dir = dir_of(model);
  const SafeTensors golden(dir + "/golden.safetensors");
  Executor executor(options(dir, backend, act, tp), universal_builds());
  Session session(executor);
  const float* logits = session.feed(ids(golden, "input_ids"));
  for (int want : ids(golden, "greedy_ids")) {
    const int got = session.sample(logits, {.temperature = 0});
    ASSERT_EQ(got, want);
    logits = session.decode(got);
  }
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const char* model : {"deepseek_v2", "deepseek_v3"})
    for (const char* backend : {"ref", "cpu"})
      for (DType act : {DType::f32, DType::bf16})
        for (int tp : {1, 2})  // two heads
          for (bool ep : {false, true})
            if (tp > 1 || !ep) all.push_back({model, backend, act, tp, ep});
  return all;
}
INSTANTIATE_TEST_SUITE_P(Hf, DeepseekGolden, testing::ValuesIn(cases()), [](const auto& test) {
  const Case& c = test.param;
  return std::string(c.model) + "_" + c.backend + (c.act == DType::f32 ? "_f32" : "_bf16") + (c.ep ? "_ep" : "_tp") +
         std::to_string(c.tp);
});

// int8: the Cpu kernels follow the reference, and stay near the unquantised golden; less near than others, because queries, keys
// and values come of two quantised products in a row.
TEST(DeepseekInt8, FollowsReferenceAndGolden) {
  const std::string dir = dir_of("deepseek_v3");
  const Golden golden(dir), some(dir, 24);
  const auto logits = [&](const char* backend, DType act, int tp, const std::vector<int>& ids) {
    auto o = options(dir, backend, act, tp);
    o.quant = "int8";
    return all_logits(o, ids);
  };
  const auto cpu = logits("cpu", DType::f32, 1, golden.ids);
  EXPECT_LE(difference(logits("ref", DType::f32, 1, some.ids), cpu).relative, 1e-2);
  for (const auto& got : {cpu, logits("cpu", DType::bf16, 1, golden.ids), logits("cpu", DType::bf16, 2, golden.ids)})
    EXPECT_LE(golden.of_sure_rows(0.2f, got).relative, 8e-2);
}

// A token takes one row per layer and rank: 576 numbers in place of the 2 * 4 * 192 that its keys and values would be.
TEST(DeepseekCache, HoldsOneRowPerToken) {
  TempDir dir;
  RandomCheckpoint{.architecture = "DeepseekV3ForCausalLM", .dense_layers = {0}}.fill().write(dir.path());
  for (int tp : {1, 2}) {
    Executor executor(options(dir.path(), "cpu", DType::bf16, tp), universal_builds());
    EXPECT_EQ(executor.memory().kv_cache, std::size_t{256} * 2 * 576 * 2 * static_cast<std::size_t>(tp)) << "tokens, layers";
  }
}

}  // namespace
}  // namespace atom::test
