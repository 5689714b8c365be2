#pragma once
// chat_prompt: a conversation to the token ids a model was trained to answer, by its own chat template.
// One idea: only the template speaks in special tokens. What the messages say is text: a user who types <|im_end|> has typed ten
// characters. To that end the first character of each special token that a message spells is replaced by a stand-in before the
// render and put back once the tokenizer has found the special tokens, so the template still sees, trims and splits the message.
// (A template whose role markers are plain text offers nothing to protect.)
// To extend: what templates get beside the messages is a member of ChatPromptOptions.
#include <optional>
#include <vector>

#include "atom/engine/chat_template.hpp"
#include "atom/engine/json.hpp"
#include "atom/engine/tokenizer.hpp"

namespace atom::engine {

struct ChatPromptOptions {
  bool add_generation_prompt = true;     ///< end where the assistant's next message begins
  const Json* tools = nullptr;           ///< an array, as clients send it; null: none
  const Json* kwargs = nullptr;          ///< an object of further variables for the template ({"enable_thinking": false})
  const Json* default_kwargs = nullptr;  ///< the same, for names that kwargs lacks
  RenderLimits limits = {};              ///< of each render; there are at most two
  std::optional<LocalTime> now = {};     ///< see ChatTemplate::render
};

/// messages: an array of objects {"role": text, "content": ...}, as clients send it. Throws atom::Error that opens with the field
/// that is wrong (messages, tools, chat_template_kwargs), or what ChatTemplate::render throws, or Tokenizer::encode.
std::vector<int> chat_prompt(const ChatTemplate& chat_template, const Tokenizer& tokenizer, const Json& messages,
                             const ChatPromptOptions& options = {});

/// Throws atom::Error, "chat_template_kwargs: <name>: ...", unless kwargs is an object and none of its names is one that
/// chat_prompt or the tokenizer decides about: messages, tools, add_generation_prompt, bos_token, ...
void check_template_kwargs(const Json& kwargs);

}  // namespace atom::engine
