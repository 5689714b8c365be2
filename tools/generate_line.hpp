#pragma once
// One line of `atom generate`'s input, as a request.
#include <optional>
#include <string>

#include "atom/engine/chat_template.hpp"
#include "atom/engine/engine.hpp"
#include "atom/engine/json.hpp"

namespace atom::tools {

/// A mistake in one line: its field and what is wrong with it.
struct BadLine {
  std::string field, why;
};

/// What lines are read with.
struct LineContext {
  engine::SamplingParams defaults;  // of fields that a line does not give
  const engine::Tokenizer* tokenizer = nullptr;
  std::optional<engine::ChatTemplate> chat_template;
  std::string no_template;       // why there is none
  engine::Json template_kwargs;  // an object
  int bos_token = -1;            // what an empty prompt begins with; -1: nothing
};

/// Throws BadLine.
engine::Request request_of(const std::string& line, const LineContext& context);

}  // namespace atom::tools
