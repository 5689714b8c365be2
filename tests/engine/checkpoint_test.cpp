#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "atom/engine/safetensors.hpp"

#include "temp_dir.hpp"

namespace atom::engine {
namespace {

using test::error_of;
using test::expect_error;

constexpr std::byte bytes[4] = {};

void write_shard(const std::string& path, const std::vector<std::string>& names) {
  std::vector<NamedTensor> tensors;
  for (const std::string& name : names) {
    NamedTensor t;
    t.name = name;
    t.dtype = DType::f32;
    t.rank = 1;
    t.dims[0] = 1;
    t.data = bytes;
    t.bytes = sizeof bytes;
    tensors.push_back(t);
  }
  write_safetensors(path, tensors);
}

/// Two shards with tensors a, c and b, and room for an index.
class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointTest() {
    write_shard(dir.path() + "/s1.safetensors", {"c", "a"});
    write_shard(dir.path() + "/s2.safetensors", {"b"});
  }
  void index(const std::string& weight_map) const {
    dir.write("model.safetensors.index.json", "{\"weight_map\":" + weight_map + "}");
  }
  [[nodiscard]] std::string error() const {
    return error_of([&] { Checkpoint all(dir.path()); });
  }
  void expect(const std::string& fragment) const {
    expect_error([&] { Checkpoint all(dir.path()); }, fragment);
  }
  test::TempDir dir;
};

TEST_F(CheckpointTest, JoinsShards) {
  index(R"({"a":"s1.safetensors","b":"s2.safetensors","c":"s1.safetensors"})");
  Checkpoint first(dir.path());
  const Checkpoint all = std::move(first);
  ASSERT_EQ(all.tensors().size(), 3u);
  EXPECT_EQ(all.tensors()[0]->name, "a");
  EXPECT_EQ(all.tensors()[2]->name, "c");
  ASSERT_NE(all.find("b"), nullptr);
  EXPECT_EQ(all.find("b")->name, "b");
  EXPECT_EQ(all.find("d"), nullptr);
  EXPECT_EQ(all.find(""), nullptr);
  EXPECT_EQ(all.file_of("b"), dir.path() + "/s2.safetensors");
  EXPECT_EQ(all.file_of("c"), dir.path() + "/s1.safetensors");
  EXPECT_EQ(all.file_of("d"), "");
}

TEST_F(CheckpointTest, ReadsASingleFile) {
  write_shard(dir.path() + "/model.safetensors", {"w"});
  const Checkpoint all(dir.path());
  ASSERT_EQ(all.tensors().size(), 1u);
  EXPECT_EQ(all.file_of("w"), dir.path() + "/model.safetensors");
}

TEST_F(CheckpointTest, RefusesADirectoryWithoutWeights) {
  expect(dir.path() + ": neither model.safetensors nor model.safetensors.index.json");
  expect_error([&] { Checkpoint all(dir.path() + "/absent"); }, "neither model.safetensors nor");
}

TEST_F(CheckpointTest, RefusesShardNamesThatLeadElsewhere) {
  for (const char* name :
       {"../s1.safetensors", "/etc/passwd", "sub/s1.safetensors", "..", ".", "", "s1..safetensors", "s1\\u0000"}) {
    SCOPED_TRACE(name);
    index(std::string("{\"a\":\"") + name + "\"}");
    expect("is not the name of a file in this directory");
  }
}

TEST_F(CheckpointTest, ListsAllAbsentShards) {
  index(R"({"a":"s1.safetensors","x":"s7.safetensors","y":"s8.safetensors","z":"../s9"})");
  const std::string message = error();
  EXPECT_NE(message.find("model.safetensors.index.json: 3 problems"), std::string::npos) << message;
  EXPECT_NE(message.find("shard \"s7.safetensors\" is absent"), std::string::npos) << message;
  EXPECT_NE(message.find("shard \"s8.safetensors\" is absent"), std::string::npos) << message;
  EXPECT_NE(message.find("\"../s9\" is not the name"), std::string::npos) << message;
}

TEST_F(CheckpointTest, ListsAllDifferencesFromTheIndex) {
  index(R"({"a":"s1.safetensors","b":"s1.safetensors","d":"s2.safetensors"})");
  const std::string message = error();
  EXPECT_NE(message.find("\"b\" is not in its shard \"s1.safetensors\""), std::string::npos) << message;
  EXPECT_NE(message.find("\"d\" is not in its shard \"s2.safetensors\""), std::string::npos) << message;
  EXPECT_NE(message.find("shard \"s1.safetensors\" holds \"c\", which weight_map does not place there"), std::string::npos)
      << message;
  EXPECT_NE(message.find("shard \"s2.safetensors\" holds \"b\", which weight_map does not place there"), std::string::npos)
      << message;
}

TEST_F(CheckpointTest, RefusesATensorInTwoShards) {
  write_shard(dir.path() + "/s2.safetensors", {"b", "a"});
  index(R"({"a":"s1.safetensors","b":"s2.safetensors","c":"s1.safetensors"})");
  expect("shard \"s2.safetensors\" holds \"a\", which weight_map does not place there");
}

TEST_F(CheckpointTest, RefusesBrokenIndexes) {
  dir.write("model.safetensors.index.json", "{}");
  expect("index.json: weight_map: missing");
  index("[]");
  expect("weight_map: expected an object, found an array");
  index("{}");
  expect("weight_map: names no tensor");
  index(R"({"a":1})");
  expect("weight_map: \"a\": expected a string, found an integer");
  index(R"({"a":"s1.safetensors","a":"s2.safetensors"})");
  expect("\"a\": duplicate key");
}

TEST_F(CheckpointTest, NamesTheShardThatIsBroken) {
  index(R"({"a":"s1.safetensors","b":"s2.safetensors","c":"s1.safetensors"})");
  dir.write("s2.safetensors", "garbage, but more than eight bytes");
  expect(dir.path() + "/s2.safetensors: header length");
}

TEST(Checkpoint, ReadsPublishedFixtures) {
  const std::string root = ATOM_TEST_DATA "/hf/";
  const Checkpoint qwen3(root + "qwen3");
  const NamedTensor* norm = qwen3.find("model.layers.1.self_attn.q_norm.weight");
  ASSERT_NE(norm, nullptr);
  EXPECT_EQ(norm->dtype, DType::bf16);
  EXPECT_EQ(norm->bytes, 256u);
  EXPECT_EQ(qwen3.find("model.embed_tokens.weight")->dims[0], 320);
  for (const char* other : {"llama", "llama2_mha", "qwen2"}) EXPECT_FALSE(Checkpoint(root + other).tensors().empty()) << other;
  const std::string demo = ATOM_DEMO_MODEL;
  EXPECT_EQ(Checkpoint(demo).file_of("model.norm.weight"), demo + "/model-00002-of-00002.safetensors");
}

}  // namespace
}  // namespace atom::engine
