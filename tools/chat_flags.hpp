#pragma once
// The chat template that the flags choose, and the variables they give it (ChatFlags in commands.hpp).
#include <optional>
#include <string>

#include "atom/engine/chat_template.hpp"
#include "atom/engine/json.hpp"

#include "commands.hpp"

namespace atom::tools {

/// Whether there is a template: in a flag or in the model's directory.
bool has_template(const ChatFlags& flags, const std::string& model_dir);
/// --chat-template, a file or the text itself; else the model's own. Throws atom::Error.
engine::ChatTemplate load_template(const ChatFlags& flags, const std::string& model_dir);
/// --default-chat-template-kwargs; an empty object without. Throws atom::Error.
engine::Json template_kwargs(const ChatFlags& flags);

}  // namespace atom::tools
