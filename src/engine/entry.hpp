#pragma once
// Entry: a value of a JSON file together with its path in it, so that a refusal can name it ("pre_tokenizer.pretokenizers[2]").
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "atom/core/error.hpp"
#include "atom/engine/json.hpp"

namespace atom::engine::text {

/// `text` as messages show it: a JSON string literal, cut after 80 bytes.
inline std::string quoted(std::string_view text) {
  constexpr std::size_t longest = 80;
  std::string out;
  append_json_string(out, text.substr(0, longest));
  if (text.size() > longest) out += "...";
  return out;
}

class Entry {
 public:
  Entry(const Json& json, std::string path) : json_(&json), path_(std::move(path)) {}

  [[nodiscard]] const Json& json() const { return *json_; }
  [[nodiscard]] const std::string& path() const { return path_; }

  /// The member; nothing when absent or null.
  [[nodiscard]] std::optional<Entry> find(std::string_view key) const {
    const Json* member = json_->find(key);
    return member ? std::optional<Entry>(Entry(*member, path_of(key))) : std::nullopt;
  }
  [[nodiscard]] Entry at(std::string_view key) const {
    if (auto member = find(key)) return *member;
    refuse(std::string(key) + " is missing");
  }
  [[nodiscard]] std::vector<Entry> items() const {
    std::vector<Entry> list;
    for (const Json& item : json_->as_array(path_)) list.emplace_back(item, path_ + "[" + std::to_string(list.size()) + "]");
    return list;
  }

  [[nodiscard]] const std::string& string() const { return json_->as_string(path_); }
  [[nodiscard]] std::string string(std::string_view key) const { return at(key).string(); }
  [[nodiscard]] std::string string(std::string_view key, std::string_view otherwise) const {
    const auto member = find(key);
    return member ? member->string() : std::string(otherwise);
  }
  [[nodiscard]] bool flag(std::string_view key, bool otherwise) const {
    const auto member = find(key);
    return member ? member->json().as_bool(member->path()) : otherwise;
  }
  [[nodiscard]] std::int64_t integer() const { return json_->as_int(path_); }

  [[noreturn]] void refuse(std::string_view problem) const {
    throw Error(std::string(json_->where()) + ": " + path_ + ": " + std::string(problem));
  }
  [[noreturn]] void refuse_type(std::string_view type, std::string_view supported) const {
    refuse("type " + quoted(type) + " is not supported; supported are " + std::string(supported));
  }

 private:
  [[nodiscard]] std::string path_of(std::string_view key) const {
    return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
  }

  const Json* json_;
  std::string path_;
};

/// The members of a component: those of a `Sequence` under `key`, however deeply nested, or the component itself; none for null.
/// A file with more than `most` is refused: each costs time on every text.
inline std::vector<Entry> flatten(const std::optional<Entry>& component, std::string_view key) {
  constexpr std::size_t most = 64;
  std::vector<Entry> list;
  if (!component) return list;
  if (component->string("type") != "Sequence") return {*component};
  for (const Entry& item : component->at(key).items()) {
    for (Entry& leaf : flatten(item, key)) list.push_back(std::move(leaf));
    if (list.size() > most) component->refuse("more than " + std::to_string(most) + " components; no known tokenizer needs them");
  }
  return list;
}

}  // namespace atom::engine::text
