#pragma once
// TokenizerData: a loaded tokenizer.json, the state that Tokenizer and Detokenizer share.
#include <vector>

#include "atom/engine/tokenizer.hpp"

#include "added_tokens.hpp"
#include "bpe.hpp"
#include "normalize.hpp"
#include "pretokenize.hpp"
#include "token_text.hpp"
#include "vocabulary.hpp"

namespace atom::engine {

struct TokenizerData {
  text::Vocabulary vocabulary;
  std::vector<bool> special;  // (vocabulary.size())
  std::vector<int> special_ids = {};
  text::Normalizer normalizer;
  text::AddedTokens added;
  text::Pretokenizer pretokenizer;
  text::Bpe bpe;
  text::TokenText token_text;
  std::vector<int> prefix = {}, suffix = {};  // of the template
  int bos = -1;                               // add_bos_token, where the template has none

  /// Whether a token counts when text is made of ids.
  [[nodiscard]] bool visible(int id, bool skip_special) const {
    return vocabulary.has(id) && !(skip_special && special[static_cast<std::size_t>(id)]);
  }
};

}  // namespace atom::engine
