#pragma once
// Dialogue: prompts in, answers out as they are written. Turns of a chat, each rendered with all that was said before, of which
// the engine's prefix cache computes only what is new; or texts to continue, each on its own.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "atom/engine/chat_template.hpp"
#include "atom/engine/engine.hpp"

#include "conversation.hpp"

namespace atom::tools {

class InterruptGuard;

struct DialogueOptions {
  std::optional<engine::ChatTemplate> chat_template;  // none: texts are continued as they are
  engine::Json template_kwargs;                       // an object
  engine::SamplingParams sampling;                    // its seed is that of the first answer; the next one has the next seed
  int bos_token = -1;                                 // what an empty text begins with; -1: nothing
};

class Dialogue {
 public:
  /// The engine has a tokenizer, and outlives this.
  Dialogue(engine::LLMEngine& engine, DialogueOptions options);

  /// Writes the answer to stdout, a newline after it, and a line of statistics to stderr. `guard`, if any, can interrupt it;
  /// what was written until then is the answer. Throws atom::Error, and the turn was not said.
  void say(std::string text, const InterruptGuard* guard = nullptr);
  /// Answers the last turn once more, with the next seed.
  void answer_again(const InterruptGuard* guard = nullptr);

  [[nodiscard]] bool is_chat() const { return options_.chat_template.has_value(); }
  void set_system(std::string text) { conversation_.set_system(std::move(text)); }
  void clear() { conversation_.clear(); }

 private:
  void answer(const InterruptGuard* guard);
  [[nodiscard]] std::vector<int> prompt() const;
  engine::RequestOutput stream(std::vector<int> ids, const InterruptGuard* guard);

  engine::LLMEngine& engine_;
  const DialogueOptions options_;
  Conversation conversation_;
  std::uint64_t next_seed_;
};

}  // namespace atom::tools
