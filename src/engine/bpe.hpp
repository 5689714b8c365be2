#pragma once
// Bpe: byte-pair encoding of one piece of text. Symbols start as single characters (or bytes); again and again the adjacent pair
// that was learnt first, the leftmost of equals, becomes one symbol.
// One idea: a pair of ids is one 64-bit key of a flat hash table, so a step is a lookup. Short pieces are scanned. A long one (a
// piece may be a whole prompt) is cut where no merge ever joins two symbols; what stays long keeps its pairs in a heap, O(n log n).
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "entry.hpp"
#include "vocabulary.hpp"

namespace atom::engine::text {

/// What a pair of symbols becomes, and when.
struct Merge {
  static constexpr std::uint32_t never = ~std::uint32_t{0};
  std::uint32_t rank = never;
  int id = -1;
};

class MergeTable {
 public:
  explicit MergeTable(std::size_t merges);
  /// Of two merges of one pair the later one counts.
  void set(int left, int right, Merge merge) {
    const std::uint64_t pair = key(left, right);
    slots_[place(pair)] = {pair, merge};
  }
  [[nodiscard]] Merge find(int left, int right) const { return slots_[place(key(left, right))].merge; }

 private:
  static constexpr std::uint64_t empty = ~std::uint64_t{0};
  struct Slot {
    std::uint64_t pair = empty;
    Merge merge;
  };
  static std::uint64_t key(int left, int right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
  }
  /// The slot of a pair, or the empty one where it would go.
  [[nodiscard]] std::size_t place(std::uint64_t pair) const {
    auto at = static_cast<std::size_t>((pair * 0x9e3779b97f4a7c15u) >> shift_);
    while (slots_[at].pair != pair && slots_[at].pair != empty) at = (at + 1) & (slots_.size() - 1);
    return at;
  }

  std::vector<Slot> slots_;  // a power of two, at most half full
  int shift_;
};

class Bpe {
 public:
  /// `model`: the entry of tokenizer.json. `bytes`: the vocabulary is written in the byte alphabet and pieces are plain bytes.
  Bpe(const Entry& model, const Vocabulary& vocabulary, bool bytes);

  /// The memory of one thread, kept from piece to piece.
  struct Scratch {
    struct Known {                 // a piece met before
      std::array<char, 16> piece;  // zero-filled; the last is its length (0: nothing here)
      std::array<int, 5> ids;
      int count;
    };
    std::vector<Known> known;  // empty, or known_pieces: worth its set-up for long texts
    std::vector<int> symbols;
    std::vector<std::int32_t> left, right;  // neighbours, in a long piece
    std::vector<std::uint64_t> heap;        // rank << 32 | position
  };
  static constexpr std::size_t known_pieces = 4096;
  /// Appends the ids of a piece of fewer than 2^31 bytes.
  void encode(std::string_view piece, std::vector<int>& ids, Scratch& scratch) const;

 private:
  void read_merges(const Entry& list, const Vocabulary& vocabulary);
  [[nodiscard]] int symbol(std::string_view character) const;
  void split(std::string_view piece, std::vector<int>& symbols) const;
  void merge(std::string_view piece, std::vector<int>& ids, Scratch& scratch) const;
  [[nodiscard]] std::size_t separable(std::span<const int> symbols) const;
  std::size_t merge_short(std::span<int> symbols) const;  // both return how many are left, at the front
  std::size_t merge_long(std::span<int> symbols, Scratch& scratch) const;

  bool bytes_, ignore_merges_, fuse_unk_;
  int unk_ = -1;
  std::array<int, 256> byte_symbol_{};               // of a byte, or of an ASCII character; -1: none
  std::unordered_map<char32_t, int> symbol_;         // of other characters
  std::array<int, 256> fallback_{};                  // <0x00> ... <0xFF>; -1: none, or no byte_fallback
  std::unordered_map<std::string_view, int> whole_;  // pieces that are tokens (ignore_merges)
  std::vector<std::string> spelling_;                // what whole_ points into
  MergeTable merges_{0};
  MergeTable joints_{0};   // pairs of first symbols that some merge can join: a piece falls apart between all others
  bool separable_ = true;  // joints_ is complete
};

}  // namespace atom::engine::text
