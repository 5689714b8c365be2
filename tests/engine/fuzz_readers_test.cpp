// Deterministic damage to valid inputs: every reader must return or throw atom::Error, and nothing else may happen. Run it
// under the address and undefined-behaviour sanitizers; a failure prints the seed that repeats it.
#include <cstring>
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "atom/engine/config.hpp"
#include "atom/engine/generation_config.hpp"
#include "atom/engine/json.hpp"
#include "atom/engine/safetensors.hpp"

#include "temp_dir.hpp"

namespace atom::engine {
namespace {

constexpr unsigned first_seed = 20240229;

/// One to four random edits: a flipped bit, a byte of JSON's alphabet, a cut, a repeated or moved piece, a huge number.
std::string damaged(std::string s, std::mt19937& random) {
  constexpr std::string_view alphabet = "{}[]\":,0-.eE\\utfn \x7f\xff";
  constexpr std::string_view numbers[] = {"-1", "0", "1e999", "9223372036854775807", "18446744073709551616", "0.5", "1000000000"};
  const auto below = [&](std::size_t n) { return n == 0 ? 0 : random() % n; };
  for (std::size_t edits = 1 + below(4); edits > 0; --edits) {
    if (s.empty()) return s;
    const std::size_t at = below(s.size()), length = below(std::min<std::size_t>(s.size() - at, 40)) + 1;
    switch (below(7)) {
      case 0: s[at] = static_cast<char>(s[at] ^ (1 << below(8))); break;
      case 1: s[at] = alphabet[below(alphabet.size())]; break;
      case 2: s.resize(at); break;
      case 3: s.erase(at, length); break;
      case 4: s.insert(below(s.size()), s.substr(at, length)); break;
      case 5: s.replace(at, length, s, below(s.size()), length); break;
      default: {  // a whole number in the text becomes another
        const std::size_t digit = s.find_first_of("0123456789", at);
        if (digit == s.npos) break;
        const std::size_t end = std::min(s.find_first_not_of("0123456789", digit), s.size());
        s.replace(digit, end - digit, numbers[below(std::size(numbers))]);
      }
    }
  }
  return s;
}

/// Runs `read` on `count` damaged versions of each seed text and returns how many were accepted.
template <class Read> int replay(const std::vector<std::string>& seeds, int count, Read read) {
  int accepted = 0;
  for (int i = 0; i < count; ++i) {
    const unsigned seed = first_seed + static_cast<unsigned>(i);
    std::mt19937 random(seed);
    const std::string bytes = damaged(seeds[static_cast<std::size_t>(i) % seeds.size()], random);
    SCOPED_TRACE("seed " + std::to_string(seed));
    try {
      read(bytes);
      ++accepted;
    } catch (const Error& e) {
      EXPECT_GT(std::strlen(e.what()), 5u);
    } catch (const std::exception& e) {
      ADD_FAILURE() << "not an atom::Error: " << e.what();
    }
  }
  return accepted;
}

TEST(FuzzReaders, Json) {
  const std::vector<std::string> seeds = {
      R"({"a":[1,2.5,-3e2,true,false,null,"x\n\u00e9\ud83d\ude00"],"b":{"c":{"d":[[],{}]}},"e":1000000000000000019884624838656})",
      test::read_file(std::string(ATOM_TEST_DATA) + "/hf/demo/config.json"), "[[[[[[[[1]]]]]]]]", "18446744073709551615"};
  const int accepted = replay(seeds, 4000, [](const std::string& text) {
    const Json j = Json::parse(text, "f.json", {.depth = 8});
    std::string out;
    if (j.is_string()) append_json_string(out, j.as_string("x"));
  });
  EXPECT_GT(accepted, 100) << "the damage should not always be fatal";
}

TEST(FuzzReaders, JsonStringsAlwaysReadBackAsUtf8) {
  replay({"plain", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 and \"quotes\"", std::string("\0\x01\x1f\\", 4)}, 2000,
         [](const std::string& text) {
           std::string literal;
           append_json_string(literal, text);
           EXPECT_TRUE(Json::parse(literal, "f.json").is_string());
         });
}

TEST(FuzzReaders, Configs) {
  std::vector<std::string> seeds;
  for (const char* model : {"llama", "qwen2", "qwen3", "demo"}) {
    seeds.push_back(test::read_file(std::string(ATOM_TEST_DATA) + "/hf/" + model + "/config.json"));
    ASSERT_FALSE(seeds.back().empty()) << model;
  }
  int positive = 0;
  const int accepted = replay(seeds, 4000, [&](const std::string& text) {
    const ModelConfig c = from_config(Json::parse(text, "config.json"));
    positive +=
        c.spec.layers > 0 && c.spec.vocab > 0 && c.spec.attn.heads % c.spec.attn.kv_heads == 0 && c.spec.attn.head_dim % 2 == 0;
  });
  EXPECT_GT(accepted, 100);
  EXPECT_EQ(positive, accepted) << "what is accepted is sound";
  replay({test::read_file(std::string(ATOM_TEST_DATA) + "/hf/demo/generation_config.json")}, 1000, [](const std::string& text) {
    ModelConfig model;
    model.spec.vocab = 100;
    static_cast<void>(from_generation_config(Json::parse(text, "g.json"), model));
  });
}

TEST(FuzzReaders, SafeTensors) {
  const test::TempDir dir;
  std::vector<NamedTensor> tensors(4);
  const std::vector<std::byte> data(64);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    tensors[i].name = "layer." + std::to_string(i);
    tensors[i].dtype = i % 2 ? DType::bf16 : DType::f32;
    tensors[i].rank = 2;
    tensors[i].dims = {2, static_cast<std::int64_t>(i)};
    tensors[i].data = data.data();
    tensors[i].bytes = 2 * i * static_cast<std::size_t>(size_of(tensors[i].dtype));
  }
  write_safetensors(dir.path() + "/seed", tensors);
  unsigned sum = 0;
  const int accepted = replay({test::read_file(dir.path() + "/seed")}, 2000, [&](const std::string& bytes) {
    const SafeTensors file(dir.write("m", bytes));
    for (const NamedTensor& t : file.tensors()) {
      for (std::size_t i = 0; i < t.bytes; ++i) sum += static_cast<unsigned>(t.data[i]);  // touch all: a bad range would trap
    }
  });
  EXPECT_GT(accepted, 20);
  RecordProperty("sum", static_cast<int>(sum & 0xffff));
}

TEST(FuzzReaders, Indexes) {
  const test::TempDir dir;
  const std::vector<std::byte> data(4);
  NamedTensor t;
  t.name = "w";
  t.dtype = DType::f32;
  t.data = data.data();
  t.bytes = 4;
  write_safetensors(dir.path() + "/s1.safetensors", std::span(&t, 1));
  replay({R"({"metadata":{"total_size":4},"weight_map":{"w":"s1.safetensors"}})"}, 1000, [&](const std::string& text) {
    dir.write("model.safetensors.index.json", text);
    const Checkpoint all(dir.path());
    EXPECT_EQ(all.tensors().size(), 1u);
  });
}

}  // namespace
}  // namespace atom::engine
