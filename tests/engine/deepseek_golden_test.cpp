// DeepSeek-V2 and V3 against logits that an independent implementation computed in float32 on the same bf16 weights.
#include <cstdlib>
#include <filesystem>

#include "atom/model/deepseek_v2.hpp"
#include "atom/ops/cpu.hpp"

#include "golden.hpp"

namespace atom::test {
namespace {

// The V2 of the golden is narrower than any that was published.
template <class B, class T, class Q = quant::No> struct narrow {
  static constexpr model::ModelSpec spec = watched_deepseek_v2::spec;
  static constexpr model::Parallel parallel{.tp = dynamic};
  using backend = B;
  using act = T;
  using kv = T;
  using quants = model::Quants<Q, Q, Q>;
};
const Registry& builds() {
  static const Registry all = [] {
    Registry r = universal_builds();
    r.add(variant<narrow<Ref, float>, model::DeepseekV2>("narrow"));
    r.add(variant<narrow<Ref, bf16>, model::DeepseekV2>("narrow"));
    r.add(variant<narrow<Cpu, float>, model::DeepseekV2>("narrow"));
    r.add(variant<narrow<Cpu, bf16>, model::DeepseekV2>("narrow"));
    return r;
  }();
  return all;
}

/// V3's widths are the published ones, so its files are large: they lie in $ATOM_FIXTURES.
std::string folder(const std::string& model) {
  if (model != "deepseek_v3") return dir_of(model.c_str());
  const char* set = std::getenv("ATOM_FIXTURES");
  return (set ? std::string(set) : std::string(ATOM_TEST_DATA) + "/../../../shared/fixtures") + "/hf/" + model;
}

struct Case {
  const char* model;
  const char* backend;
  DType act;
  int tp;
};
class DeepseekGolden : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const std::string dir = folder(GetParam().model);
    if (!std::filesystem::exists(dir)) GTEST_SKIP() << "no fixtures in " << dir << "; set ATOM_FIXTURES";
  }
};

TEST_P(DeepseekGolden, LogitsMatch) {
  const auto [model, backend, act, tp] = GetParam();
  const std::string dir = folder(model);
  const SafeTensors golden(dir + "/golden.safetensors");
  const auto prompt = ids(golden, "input_ids");
  auto got = all_logits(options(dir, backend, act, tp), prompt, builds()), want = floats(golden, "logits");
  if (act == DType::bf16) keep_sure_rows(dir, prompt, 0.02f, got, want);
  const auto d = difference(got, want);
  if (act == DType::f32)
    EXPECT_LE(d.worst, 2e-3);
  else
    EXPECT_LE(d.relative, 2e-2);
}

// One token at a time reads the cache as rows of all heads; pieces of a prompt make keys and values of it.
TEST_P(DeepseekGolden, ChunksDoNotMatter) {
  const auto [model, backend, act, tp] = GetParam();
  if (act != DType::f32 || tp != 1 || std::string_view(backend) != "cpu") return;
  const std::string dir = folder(model);
  const auto prompt = ids(SafeTensors(dir + "/golden.safetensors"), "input_ids");
  const auto whole = all_logits(options(dir, backend, act, tp), prompt, builds());
  for (int rows : {1, 7, 48})
    EXPECT_LE(difference(all_logits(options(dir, backend, act, tp, rows), prompt, builds()), whole).worst, 2e-4) << rows;
}

TEST_P(DeepseekGolden, ContinuationMatches) {
  const auto [model, backend, act, tp] = GetParam();
  if (act != DType::f32 || std::string_view(backend) != "cpu") return;
  const std::string dir = folder(model);
  const SafeTensors golden(dir + "/golden.safetensors");
  Executor executor(options(dir, backend, act, tp), builds());
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
        for (int tp : {1, 2}) all.push_back({model, backend, act, tp});
  return all;
}
INSTANTIATE_TEST_SUITE_P(Hf, DeepseekGolden, testing::ValuesIn(cases()), [](const auto& test) {
  const Case& c = test.param;
  return std::string(c.model) + "_" + c.backend + (c.act == DType::f32 ? "_f32" : "_bf16") + "_tp" + std::to_string(c.tp);
});

// int8: the Cpu kernels follow the reference, and stay near the unquantised golden.
TEST(DeepseekInt8, FollowsReferenceAndGolden) {
  const std::string dir = folder("deepseek_v3");
  if (!std::filesystem::exists(dir)) GTEST_SKIP() << "no fixtures in " << dir << "; set ATOM_FIXTURES";
  const SafeTensors golden(dir + "/golden.safetensors");
  const auto prompt = ids(golden, "input_ids");
  const auto logits = [&](const char* backend, DType act, int tp) {
    auto o = options(dir, backend, act, tp);
    o.quant = "int8";
    return all_logits(o, prompt);
  };
  const auto cpu = logits("cpu", DType::f32, 1);
  EXPECT_LE(difference(cpu, logits("ref", DType::f32, 1)).relative, 1e-2);
  for (auto got : {cpu, logits("cpu", DType::bf16, 1), logits("cpu", DType::bf16, 2)}) {
    auto want = floats(golden, "logits");
    keep_sure_rows(dir, prompt, 0.12f, got, want);
    EXPECT_LE(difference(got, want).relative, 5e-2);
  }
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
