#pragma once
// Tokenizer: text to token ids and back, as a model's tokenizer.json says.
// One idea: the file is compiled once, at load, into an immutable pipeline (added tokens, normalizer, pre-tokenizer, byte-pair
// merges, template); what it asks for and this library lacks is refused then, by name, never guessed at while encoding.
// To extend: a new normalizer, pre-tokenizer or decoder type is a few lines in src/engine/{normalize,pretokenize,token_text}.cpp.
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace atom::engine {

/// A character that takes the place of another in a text, so that no token is found there.
struct StandIn {
  std::string character, original;
};

struct EncodeOptions {
  bool add_special_tokens = true;           ///< what the template (or add_bos_token) puts around a text; false for rendered chats
  bool parse_special = true;                ///< text that spells a special token becomes it; false for text of untrusted origin
  std::span<const StandIn> stand_ins = {};  ///< of the text: replaced by their originals when added tokens have been found
};

struct TokenizerData;

/// Cheap to copy (copies share one immutable state); all members may be called by any number of threads at once.
class Tokenizer {
 public:
  /// Reads <model_dir>/tokenizer.json and, where present, tokenizer_config.json (see from_file).
  static Tokenizer from_dir(const std::string& model_dir);
  /// Of tokenizer_config.json (empty path: none) only `add_bos_token` counts: true puts `bos_token` in front of a text unless
  /// tokenizer.json does so itself or the text starts with it. Throws atom::Error naming file, entry, and what is supported.
  static Tokenizer from_file(const std::string& tokenizer_json, const std::string& tokenizer_config_json = {});

  /// Ill-formed UTF-8 counts as U+FFFD, one for each maximal subpart. Time is O(n log n) in the length of the text.
  /// Throws atom::Error for a text above 256 MiB or one on which an expression of tokenizer.json runs too long.
  [[nodiscard]] std::vector<int> encode(std::string_view text, EncodeOptions options = {}) const;

  /// Ids that are not in the vocabulary add nothing. The result is valid UTF-8.
  [[nodiscard]] std::string decode(std::span<const int> ids, bool skip_special_tokens = true) const;

  /// Highest id + 1. (A model's embedding may have more rows.)
  [[nodiscard]] int vocab_size() const;
  /// The id of a token as tokenizer.json spells it ("\u0120the", "<|im_end|>").
  [[nodiscard]] std::optional<int> id_of(std::string_view token) const;
  /// That spelling; empty for an id that is not in the vocabulary. Lives as long as this tokenizer or a copy of it.
  [[nodiscard]] std::string_view token(int id) const;
  /// The bytes a token adds to a text, which may be part of a character; what stripping at the ends would take is still there.
  [[nodiscard]] std::string_view bytes(int id) const;
  /// Marked `special` in tokenizer.json: skipped by decode, matched in text only with parse_special.
  [[nodiscard]] bool is_special(int id) const;
  /// All of them, ascending.
  [[nodiscard]] std::span<const int> special_tokens() const;

 private:
  friend class Detokenizer;
  explicit Tokenizer(std::shared_ptr<const TokenizerData> data) : data_(std::move(data)) {}
  std::shared_ptr<const TokenizerData> data_;
};

}  // namespace atom::engine
