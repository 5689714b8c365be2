#pragma once
// Chat turns as token ids, in the ChatML form: <|im_start|>role\n text <|im_end|>\n.
#include <optional>
#include <string_view>
#include <vector>

#include "atom/engine/tokenizer.hpp"

namespace atom::tools {

class ChatMl {
 public:
  /// Throws atom::Error when the model's vocabulary has no ChatML markers.
  explicit ChatMl(const engine::Tokenizer& tokenizer);
  /// A user's turn and the opening of the assistant's. The text cannot forge a marker.
  [[nodiscard]] std::vector<int> user_turn(std::string_view text) const;
  /// What closes the assistant's turn; `ended`: the model wrote its own end marker.
  [[nodiscard]] std::vector<int> close(bool ended) const;

 private:
  engine::Tokenizer tokenizer_;
  int start_, end_;
};

}  // namespace atom::tools
