#pragma once
// TokenText: the `decoder` of tokenizer.json, worked out once for every token. TextStream: ids in, text out, one at a time.
// One idea: what a decoder does to a token does not depend on its neighbours, except for three things: bytes that wait for the
// rest of their character, the first token, and spaces stripped at the two ends. A TextStream keeps exactly these.
// To extend: a decoder that rewrites tokens is one more Rewrite; what needs neighbours belongs into TextStream.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "entry.hpp"
#include "pattern.hpp"
#include "vocabulary.hpp"

namespace atom::engine::text {

class TokenText {
 public:
  enum class Mode : unsigned char {
    text,           // tokens are text
    byte_level,     // tokens are bytes
    byte_fallback,  // tokens are text, but for <0x00> ... <0xFF>
  };
  struct Ends {
    std::string content;               // one character
    std::int64_t start = 0, stop = 0;  // how many to strip
  };

  TokenText(const std::optional<Entry>& component, const Vocabulary& vocabulary);

  [[nodiscard]] Mode mode() const { return mode_; }
  [[nodiscard]] const Ends& ends() const { return ends_; }
  /// What a token adds to the text; with byte_fallback a byte token adds its byte. `id` is in the vocabulary.
  [[nodiscard]] std::string_view bytes(int id) const {
    const auto i = static_cast<std::size_t>(id);
    return std::string_view(arena_).substr(offsets_[i], offsets_[i + 1] - offsets_[i]);
  }
  [[nodiscard]] bool is_byte(int id) const { return is_byte_[static_cast<std::size_t>(id)]; }
  /// The same at the beginning of a text, where it differs; else nothing.
  [[nodiscard]] std::optional<std::string> bytes_at_start(std::string_view token) const;

 private:
  struct Rewrite {
    enum class Kind : unsigned char { replace, strip, metaspace };
    Kind kind;
    std::optional<Pattern> pattern = {};  // replace, metaspace
    std::string content = {};             // replace
    Ends ends = {};                       // strip
    bool drop_at_start = false;           // metaspace
  };
  [[nodiscard]] std::string rewritten(std::string_view token, bool at_start) const;

  Mode mode_ = Mode::text;
  std::string separator_;  // between tokens
  std::vector<Rewrite> rewrites_;
  Ends ends_;
  bool start_differs_ = false;
  std::string arena_;                 // bytes(0), bytes(1), ...
  std::vector<std::size_t> offsets_;  // (size + 1)
  std::vector<bool> is_byte_;
};

class TextStream {
 public:
  /// Of a run of byte tokens (byte_fallback) with an ill-formed part, HuggingFace turns every byte into a U+FFFD, the good
  /// characters before it too: known only at the end of the run. `eager` sends complete characters at once instead.
  enum class Runs : unsigned char { whole, eager };
  TextStream(const TokenText& tokens, Runs runs) : tokens_(&tokens), runs_(runs), strip_(tokens.ends().start) {}

  /// Appends to `out` the text that is certain after this token. `token`: its spelling.
  void push(int id, std::string_view token, std::string& out);
  /// Appends what was waiting.
  void finish(std::string& out);

 private:
  void push_byte(char byte, std::string& out);
  void end_run(std::string& out);
  void write(std::string_view text, std::string& out);

  const TokenText* tokens_;
  Runs runs_;
  bool at_start_ = true;
  bool ill_formed_ = false;  // the run of byte tokens (eager)
  std::int64_t strip_;       // characters that may still be stripped at the start
  std::int64_t held_ = 0;    // characters that are stripped if nothing follows
  std::string waiting_;      // bytes of a character, or a whole run
};

}  // namespace atom::engine::text
