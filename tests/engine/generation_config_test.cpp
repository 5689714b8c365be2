#include "atom/engine/generation_config.hpp"

#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "atom/engine/json.hpp"

#include "temp_dir.hpp"

namespace atom::engine {
namespace {

ModelConfig model_config() {
  ModelConfig c;
  c.spec.vocab = 100;
  c.eos_token_ids = {7};
  c.bos_token_id = 5;
  return c;
}
GenerationDefaults read(const char* text) { return from_generation_config(Json::parse(text, "g.json"), model_config()); }

TEST(GenerationConfig, ReadsPublishedFiles) {
  const std::string data = std::string(ATOM_TEST_DATA) + "/hf/";
  const GenerationDefaults demo = read_generation_config(data + "demo", read_config(data + "demo"));
  EXPECT_EQ(demo.temperature, 0.8f);
  EXPECT_EQ(demo.top_p, 0.95f);
  EXPECT_EQ(demo.top_k, 0);
  EXPECT_EQ(demo.eos_token_ids, (std::vector{2, 0})) << "overrides config.json";
  EXPECT_EQ(demo.bos_token_id, 0);
  EXPECT_TRUE(demo.unknown_keys.empty());
  const GenerationDefaults llama = read_generation_config(data + "llama", read_config(data + "llama"));
  EXPECT_EQ(llama.temperature, 0) << "do_sample is false";
}

TEST(GenerationConfig, ReadsEveryField) {
  const GenerationDefaults d =
      read(R"({"do_sample":true,"temperature":0.6,"top_k":20,"top_p":0.9,"min_p":0.05,"eos_token_id":9,"bos_token_id":3})");
  EXPECT_EQ(d.temperature, 0.6f);
  EXPECT_EQ(d.top_k, 20);
  EXPECT_EQ(d.top_p, 0.9f);
  EXPECT_EQ(d.min_p, 0.05f);
  EXPECT_EQ(d.eos_token_ids, std::vector{9});
  EXPECT_EQ(d.bos_token_id, 3);
}

TEST(GenerationConfig, SilenceMeansGreedyAndTheModelsTokens) {
  for (const char* text : {"{}", R"({"eos_token_id":null,"top_p":null,"temperature":null})", R"({"eos_token_id":[]})"}) {
    const GenerationDefaults d = read(text);
    EXPECT_EQ(d.temperature, 0);
    EXPECT_EQ(d.top_k, 0);
    EXPECT_EQ(d.top_p, 1);
    EXPECT_EQ(d.min_p, 0);
    EXPECT_EQ(d.eos_token_ids, std::vector{7});
    EXPECT_EQ(d.bos_token_id, 5);
  }
  EXPECT_EQ(read(R"({"do_sample":true})").temperature, 1);
  EXPECT_EQ(read(R"({"do_sample":false,"temperature":0.6})").temperature, 0);
  const test::TempDir empty;
  EXPECT_EQ(read_generation_config(empty.path(), model_config()).eos_token_ids, std::vector{7}) << "the file is optional";
}

TEST(GenerationConfig, RefusesBrokenFields) {
  const auto refused = [](const char* text, const char* message) {
    EXPECT_EQ(test::error_of([&] { static_cast<void>(read(text)); }), message);
  };
  refused(R"({"temperature":-1})", "g.json: temperature: expected 0 to 100, found -1");
  refused(R"({"top_p":1.5})", "g.json: top_p: expected 0 to 1, found 1.5");
  refused(R"({"top_k":-1})", "g.json: top_k: expected 0 to 2147483647, found -1");
  refused(R"({"bos_token_id":100})", "g.json: bos_token_id: expected 0 to 99, found 100");
  refused(R"({"do_sample":"yes","min_p":"0"})",
          "g.json: 2 problems\n  do_sample: expected true or false, found a string\n  min_p: expected a number, found a string");
  refused("[]", "g.json: expected an object, found an array");
}

TEST(GenerationConfig, ReportsWhatHasNoEffect) {
  EXPECT_EQ(read(R"({"repetition_penalty":1.05,"transformers_version":"4.51.0","num_beams":4})").unknown_keys,
            (std::vector<std::string>{"repetition_penalty", "num_beams"}));
}

}  // namespace
}  // namespace atom::engine
