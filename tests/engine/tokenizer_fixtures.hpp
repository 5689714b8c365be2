#pragma once
// What the tokenizer and detokenizer tests share: the fixtures, and tokenizer.json files made from a few lines.
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <string>
#include <string_view>
#include <vector>

#include "atom/engine/json.hpp"
#include "atom/engine/tokenizer.hpp"

#include "temp_dir.hpp"

namespace atom::engine {

inline std::vector<int> ids_of(const Json& list) {
  std::vector<int> ids;
  for (const Json& id : list.as_array("ids")) ids.push_back(static_cast<int>(id.as_int("ids")));
  return ids;
}

/// A file in the temporary directory, removed at the end.
class TempFile {
 public:
  explicit TempFile(std::string_view text) {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    static int count = 0;
    path_ = testing::TempDir() + test->name() + std::to_string(count++) + ".json";
    std::ofstream(path_, std::ios::binary) << text;
  }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;
  ~TempFile() { std::filesystem::remove(path_); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// The parts of a tokenizer.json, as JSON text.
struct Parts {
  std::string vocab = R"({"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4, " ": 5, "x": 6})";
  std::string merges = R"([["a", "b"], ["ab", "c"]])";
  std::string added = "[]";
  std::string normalizer = "null", pre_tokenizer = "null", post_processor = "null", decoder = R"({"type": "Fuse"})";
  std::string model = R"("type": "BPE")";  // other members of the model

  [[nodiscard]] std::string json() const {
    return R"({"added_tokens": )" + added + R"(, "normalizer": )" + normalizer + R"(, "pre_tokenizer": )" + pre_tokenizer +
           R"(, "post_processor": )" + post_processor + R"(, "decoder": )" + decoder + R"(, "model": {)" + model +
           R"(, "vocab": )" + vocab + R"(, "merges": )" + merges + "}}";
  }
  [[nodiscard]] Tokenizer load() const { return Tokenizer::from_file(TempFile(json()).path()); }
};

}  // namespace atom::engine
