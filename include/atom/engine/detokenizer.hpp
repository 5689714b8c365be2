#pragma once
// Detokenizer: the text of a growing list of ids, piece by piece, as it becomes certain.
// One idea: only what later tokens cannot change is handed out. Bytes wait until their character is complete or certainly
// ill-formed (then U+FFFD); at most a few are held, so each token costs its own length, however long the stream.
// To extend: nothing; decoders live in src/engine/token_text.cpp, used by this and by Tokenizer::decode.
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "atom/engine/tokenizer.hpp"

namespace atom::engine {

/// The pieces join to Tokenizer::decode of all ids, with one exception: where a run of byte tokens (<0x..>) holds good characters
/// and then an ill-formed sequence, the good ones have been sent already, while decode turns the whole run into U+FFFD.
class Detokenizer {
 public:
  explicit Detokenizer(const Tokenizer& tokenizer, bool skip_special_tokens = true);
  ~Detokenizer();
  Detokenizer(Detokenizer&&) noexcept;
  Detokenizer& operator=(Detokenizer&&) noexcept;

  /// Takes note of ids before the stream (the prompt): they decide about a leading space, and a prompt may end inside a character.
  void prime(std::span<const int> ids);
  /// The text that has become certain; valid until the next call. Ids outside the vocabulary add nothing.
  [[nodiscard]] std::string_view push(int id);
  /// The end of the stream: what was still held, a character cut off being U+FFFD. Call it once, last.
  [[nodiscard]] std::string_view finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace atom::engine
