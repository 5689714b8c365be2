#pragma once
// Vocabulary: token strings and their ids, one to one, as tokenizer.json spells them.
#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace atom::engine::text {

class Vocabulary {
 public:
  static constexpr int most_tokens = 1 << 22;  // the largest known vocabulary has 2^18

  /// Room for the ids [0, size).
  explicit Vocabulary(int size) : tokens_(static_cast<std::size_t>(size)), present_(tokens_.size()) {
    ids_.reserve(tokens_.size());
  }

  /// `id` is below size. Returns false, and does nothing, when the id or the string is taken.
  bool add(std::string content, int id) {
    const auto i = static_cast<std::size_t>(id);
    if (present_[i] || find(content) >= 0) return false;
    tokens_[i] = std::move(content);
    ids_.emplace(tokens_[i], id);
    return present_[i] = true;
  }

  [[nodiscard]] int size() const { return static_cast<int>(tokens_.size()); }
  [[nodiscard]] bool has(int id) const { return id >= 0 && id < size() && present_[static_cast<std::size_t>(id)]; }
  [[nodiscard]] const std::string& token(int id) const { return tokens_[static_cast<std::size_t>(id)]; }
  /// The id, or -1.
  [[nodiscard]] int find(std::string_view content) const {
    const auto found = ids_.find(content);
    return found == ids_.end() ? -1 : found->second;
  }

 private:
  std::vector<std::string> tokens_;  // never resized: ids_ points into it
  std::vector<bool> present_;        // vocabularies have holes
  std::unordered_map<std::string_view, int> ids_;
};

}  // namespace atom::engine::text
