#pragma once
// Vocabulary: token strings and their ids, one to one, as tokenizer.json spells them.
// One idea: loading looks up three strings per merge, so the index is flat: a slot holds an id and half of the string's hash.
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace atom::engine::text {

class Vocabulary {
 public:
  static constexpr int most_tokens = 1 << 22;  // the largest known vocabulary has 2^18

  /// Room for the ids [0, size).
  explicit Vocabulary(int size)
      : tokens_(static_cast<std::size_t>(size)), present_(tokens_.size()), slots_(std::bit_ceil(2 * tokens_.size() + 1)) {}

  /// `id` is below size. Returns false, and does nothing, when the id or the string is taken.
  bool add(std::string content, int id) {
    const auto i = static_cast<std::size_t>(id);
    const std::size_t hash = hash_of(content), at = place(content, hash);
    if (present_[i] || slots_[at].id >= 0) return false;
    slots_[at] = {static_cast<std::uint32_t>(hash), id};
    tokens_[i] = std::move(content);
    return present_[i] = true;
  }

  [[nodiscard]] int size() const { return static_cast<int>(tokens_.size()); }
  [[nodiscard]] bool has(int id) const { return id >= 0 && id < size() && present_[static_cast<std::size_t>(id)]; }
  [[nodiscard]] const std::string& token(int id) const { return tokens_[static_cast<std::size_t>(id)]; }
  /// The id, or -1.
  [[nodiscard]] int find(std::string_view content) const { return slots_[place(content, hash_of(content))].id; }

 private:
  struct Slot {
    std::uint32_t hash = 0;
    int id = -1;  // none
  };
  static std::size_t hash_of(std::string_view content) { return std::hash<std::string_view>()(content); }
  /// The slot of a string, or the empty one where it would go.
  [[nodiscard]] std::size_t place(std::string_view content, std::size_t hash) const {
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t at = (hash >> 20) & mask;; at = (at + 1) & mask) {
      const Slot& slot = slots_[at];
      if (slot.id < 0 || (slot.hash == static_cast<std::uint32_t>(hash) && token(slot.id) == content)) return at;
    }
  }

  std::vector<std::string> tokens_;  // by id
  std::vector<bool> present_;        // vocabularies have holes
  std::vector<Slot> slots_;          // a power of two, at most half full
};

}  // namespace atom::engine::text
