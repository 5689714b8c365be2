#include "chat_flags.hpp"

#include <filesystem>

#include "atom/core/error.hpp"
#include "atom/engine/chat_prompt.hpp"

#include "common.hpp"

namespace atom::tools {

bool has_template(const ChatFlags& flags, const std::string& model_dir) {
  return !flags.chat_template.empty() || engine::ChatTemplate::exists_in(model_dir);
}

engine::ChatTemplate load_template(const ChatFlags& flags, const std::string& model_dir) {
  const std::string& given = flags.chat_template;
  if (given.empty()) {
    if (!engine::ChatTemplate::exists_in(model_dir))
      throw Error(model_dir + ": this model has no chat template; give one with --chat-template, or use --raw");
    return engine::ChatTemplate::from_dir(model_dir);
  }
  const bool is_text = given.find("{{") != given.npos || given.find("{%") != given.npos;
  if (is_text) return engine::ChatTemplate::parse(given, "--chat-template", model_dir);
  if (!std::filesystem::is_regular_file(given)) throw Error("--chat-template: " + given + " is neither a file nor a template");
  return engine::ChatTemplate::parse(read_text(given), given, model_dir);
}

engine::Json template_kwargs(const ChatFlags& flags) {
  const std::string flag = "--default-chat-template-kwargs";
  auto kwargs = engine::Json::parse(flags.template_kwargs.empty() ? "{}" : flags.template_kwargs, flag);
  try {
    engine::check_template_kwargs(kwargs);
  } catch (const Error& e) {
    const std::string why = e.what();  // "chat_template_kwargs: ..."
    throw Error(flag + why.substr(why.find(':')));
  }
  return kwargs;
}

}  // namespace atom::tools
