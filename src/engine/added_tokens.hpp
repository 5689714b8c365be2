#pragma once
// AddedTokens: the `added_tokens` of tokenizer.json, found in the text before anything else looks at it.
// One idea: two tries, one over the text as typed and one over the normalized text; at each place the longest token wins, and
// the leftmost place goes first. Time is linear in the text: a walk is as long as the longest token, usually one byte.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "entry.hpp"
#include "normalize.hpp"
#include "vocabulary.hpp"

namespace atom::engine::text {

struct AddedToken {
  int id = -1;
  std::string content;
  bool single_word = false, lstrip = false, rstrip = false, normalized = true, special = false;
};

/// Reads `added_tokens` (absent: none).
std::vector<AddedToken> read_added_tokens(const Entry& root);

class TokenTrie {
 public:
  /// `content` is not empty; of two equal contents the first stays.
  void add(std::string_view content, const AddedToken& token);

  struct Segment {
    std::size_t begin = 0, end = 0;
    int id = -1;  // -1: plain text, never empty
  };
  /// Calls f(Segment) for every token and every stretch between tokens, in order.
  template <class F> void split(std::string_view text, bool parse_special, F&& f) const {
    std::size_t done = 0;
    Segment found;
    for (std::size_t at = 0; next(text, at, done, parse_special, found);) {
      if (done < found.begin) f(Segment{done, found.begin, -1});
      f(found);
      done = found.end;
    }
    if (done < text.size()) f(Segment{done, text.size(), -1});
  }

 private:
  struct Node {
    std::vector<std::pair<unsigned char, std::uint32_t>> children;
    int token = -1;  // index into tokens_
  };
  /// The next token at or after `at`; text before `done` belongs to the previous one. Moves `at` past what it looked at.
  bool next(std::string_view text, std::size_t& at, std::size_t done, bool parse_special, Segment& found) const;

  std::vector<Node> nodes_ = std::vector<Node>(1);
  std::vector<AddedToken> tokens_;
  std::array<bool, 256> starts_{};  // bytes that a token begins with
};

struct AddedTokens {
  TokenTrie as_typed, normalized;
  AddedTokens(const std::vector<AddedToken>& tokens, const Normalizer& normalizer);
};

}  // namespace atom::engine::text
