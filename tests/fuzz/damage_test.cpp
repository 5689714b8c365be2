// Deterministic damage to valid files. Run it under the address and undefined-behaviour sanitizers; a failure prints the seed that
// repeats it.
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "atom/engine/safetensors.hpp"

#include "../engine/temp_dir.hpp"
#include "targets.hpp"

namespace atom::fuzz {
namespace {

using engine::NamedTensor;

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

/// Runs a target on `count` damaged versions of each seed text and returns how many were accepted.
template <class Target> int replay(const std::vector<std::string>& seeds, int count, Target target) {
  int accepted = 0;
  for (int i = 0; i < count; ++i) {
    const unsigned seed = first_seed + static_cast<unsigned>(i);
    std::mt19937 random(seed);
    const std::string bytes = damaged(seeds[static_cast<std::size_t>(i) % seeds.size()], random);
    SCOPED_TRACE("seed " + std::to_string(seed));
    EXPECT_NO_THROW(accepted += target(bytes) == Outcome::accepted);
  }
  return accepted;
}

std::string data(const std::string& file) { return test::read_file(ATOM_TEST_DATA "/hf/" + file); }

TEST(Damage, Json) {
  const std::vector<std::string> seeds = {
      R"({"a":[1,2.5,-3e2,true,false,null,"x\n\u00e9\ud83d\ude00"],"b":{"c":{"d":[[],{}]}},"e":1000000000000000019884624838656})",
      data("demo/config.json"), "[[[[[[[[1]]]]]]]]", "18446744073709551615", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""};
  EXPECT_GT(replay(seeds, 5000, json), 100) << "the damage should not always be fatal";
}

TEST(Damage, Configs) {
  std::vector<std::string> seeds;
  for (const char* model : {"llama", "qwen2", "qwen3", "demo"}) {
    seeds.push_back(data(model + std::string("/config.json")) + '\0' + data("demo/generation_config.json"));
    ASSERT_GT(seeds.back().size(), 200u) << model;
  }
  EXPECT_GT(replay(seeds, 5000, config), 100);
}

TEST(Damage, SafeTensors) {
  const test::TempDir dir;
  std::vector<NamedTensor> tensors(4);
  const std::vector<std::byte> bytes(64);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    tensors[i].name = "layer." + std::to_string(i);
    tensors[i].dtype = i % 2 ? DType::bf16 : DType::f32;
    tensors[i].rank = 2;
    tensors[i].dims = {2, static_cast<std::int64_t>(i)};
    tensors[i].data = bytes.data();
    tensors[i].bytes = 2 * i * static_cast<std::size_t>(size_of(tensors[i].dtype));
  }
  engine::write_safetensors(dir.path() + "/seed", tensors);
  EXPECT_GT(replay({test::read_file(dir.path() + "/seed")}, 2000, safetensors), 20);
}

TEST(Damage, Indexes) {
  const test::TempDir dir;
  const std::vector<std::byte> bytes(4);
  NamedTensor t;
  t.name = "w";
  t.dtype = DType::f32;
  t.data = bytes.data();
  t.bytes = 4;
  engine::write_safetensors(dir.path() + "/s1.safetensors", std::span(&t, 1));
  const auto open = [&](const std::string& text) {
    dir.write("model.safetensors.index.json", text);
    try {
      const engine::Checkpoint all(dir.path());
      promise(all.tensors().size() == 1, "what is accepted is whole");
      return Outcome::accepted;
    } catch (const Error&) {
      return Outcome::rejected;
    }
  };
  EXPECT_GT(replay({R"({"metadata":{"total_size":4},"weight_map":{"w":"s1.safetensors"}})"}, 300, open), 5);
}

}  // namespace
}  // namespace atom::fuzz
