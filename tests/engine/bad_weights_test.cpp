// Weights that are not numbers: a checkpoint of floats loads with a warning that names the tensor; a scale is never made of one.
#include <algorithm>
#include <gtest/gtest.h>
#include <limits>

#include "atom/engine/executor.hpp"
#include "atom/engine/universal.hpp"

#include "checkpoints.hpp"

namespace atom::engine {
namespace {

struct Listener final : Progress {
  void update(std::string_view, std::size_t, std::size_t) override {}
  void warn(std::string_view what) override { warnings.emplace_back(what); }
  std::vector<std::string> warnings;
};

template <class T> void put(test::RandomCheckpoint& c, std::string_view name, std::size_t at, float value) {
  const T x(value);
  std::memcpy(c.at(name).data.data() + at * sizeof x, &x, sizeof x);
}

std::vector<std::string> warnings(const test::RandomCheckpoint& c, void (*change)(ExecutorOptions&) = nullptr) {
  const test::TempDir dir;
  c.write(dir.path());
  Listener listener;
  ExecutorOptions o;
  o.model_dir = dir.path();
  o.max_rows = 4;
  o.threads = 2;
  o.progress = &listener;
  if (change) change(o);
  const Executor executor(o, universal_builds());
  for (std::string& w : listener.warnings) EXPECT_TRUE(w.starts_with(dir.path() + "/model.safetensors: ")) << w;
  for (std::string& w : listener.warnings) w.erase(0, dir.path().size() + std::string_view("/model.safetensors: ").size());
  return listener.warnings;
}

constexpr float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
const std::string advice = " NaN or infinite; answers may be nonsense: download the file again, or use another checkpoint";

TEST(Bad05, SoundWeightsWarnOfNothing) {
  for (const DType dtype : {DType::bf16, DType::f16, DType::f32}) {
    test::RandomCheckpoint c{.dtype = dtype};
    EXPECT_EQ(warnings(c.fill()), std::vector<std::string>{});
  }
  test::RandomCheckpoint largest;
  largest.fill();
  put<bf16>(largest, "model.norm.weight", 3, 3.38e38f);
  put<bf16>(largest, "model.norm.weight", 4, -3.38e38f);
  EXPECT_EQ(warnings(largest), std::vector<std::string>{}) << "large is not infinite";
}

TEST(Bad05, NanWeightsWarn) {
  const auto spoil = []<class T>(T, DType dtype) {
    test::RandomCheckpoint c{.dtype = dtype};
    c.fill();
    put<T>(c, "model.layers.1.self_attn.k_proj.weight", 64 * 77 + 5, nan);  // copied
    put<T>(c, "model.norm.weight", 63, -infinity);                          // used where it lies in the file
    put<T>(c, "model.embed_tokens.weight", 0, nan);
    put<T>(c, "model.embed_tokens.weight", 101 * 64 - 1, infinity);
    return c;
  };
  for (const auto& c : {spoil(bf16{}, DType::bf16), spoil(fp16{}, DType::f16), spoil(float{}, DType::f32)}) {
    std::vector<std::string> got = warnings(c);
    std::ranges::sort(got);
    EXPECT_EQ(got, (std::vector<std::string>{"model.embed_tokens.weight: 2 values are" + advice,
                                             "model.layers.1.self_attn.k_proj.weight: 1 value is" + advice,
                                             "model.norm.weight: 1 value is" + advice}));
  }
}

TEST(Bad05, NoScaleIsMadeOfNan) {
  test::RandomCheckpoint c;
  c.fill();
  put<bf16>(c, "model.layers.0.mlp.down_proj.weight", 96 * 9 + 1, infinity);
  test::expect_error([&] { (void)warnings(c, [](ExecutorOptions& o) { o.quant = "int8"; }); },
                     "model.safetensors: model.layers.0.mlp.down_proj.weight: 1 value is NaN or infinite; no scale can hold that");
}

TEST(Bad05, RowsOfZerosAreSound) {  // their scale is 0, and so is what they give
  test::RandomCheckpoint c;
  c.fill();
  for (auto& byte : c.at("model.layers.0.mlp.down_proj.weight").data) byte = {};
  EXPECT_EQ(warnings(c, [](ExecutorOptions& o) { o.quant = "int8"; }), std::vector<std::string>{});
}

TEST(Bad05, ScalesNobodyAskedForAreRefused) {
  test::RandomCheckpoint c;
  c.fill();
  c.tensors.push_back({"model.layers.0.mlp.down_proj.weight_scale", {1}, DType::f32, std::vector<std::byte>(4)});
  test::expect_error([&] { (void)warnings(c); }, "down_proj.weight_scale");
}

}  // namespace
}  // namespace atom::engine
