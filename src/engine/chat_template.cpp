#include "atom/engine/chat_template.hpp"

#include <algorithm>
#include <cerrno>
#include <unistd.h>

#include "file.hpp"
#include "jinja/interpreter.hpp"
#include "jinja/lexer.hpp"
#include "utf8.hpp"

namespace atom::engine {

struct ChatTemplateData {
  jinja::Program program, with_tools;  // with_tools: without a name if there is none of its own
  std::vector<std::pair<std::string, std::string>> tokens;
};

namespace {

constexpr std::size_t longest_source = std::size_t{1} << 20;

std::string place(const std::string& where, std::uint32_t line, std::string_view what) {
  return where + ": line " + std::to_string(line) + ": " + std::string(what);
}

/// The source as Jinja reads it: \n for every newline, and none at the end.
std::string normalized(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

void compile(jinja::Program& program, std::string_view source, std::string where) {
  if (source.size() > longest_source) {
    throw Error(where + ": a template of " + std::to_string(source.size()) + " bytes; at most " + std::to_string(longest_source) +
                " are accepted");
  }
  if (!text::is_valid(source)) throw Error(where + ": the template is not UTF-8");
  program.source = normalized(source);
  program.where = std::move(where);
  try {
    jinja::parse(program);
  } catch (const jinja::SyntaxError& e) {
    throw Error(place(program.where, e.line, e.what));
  }
}

std::string read_source(const std::string& path) {
  const File file(path);
  if (file.size() > longest_source) {
    throw Error(path + ": " + std::to_string(file.size()) + " bytes; a template has at most " + std::to_string(longest_source));
  }
  std::string text(file.size(), '\0');
  for (std::size_t have = 0; have < text.size();) {
    const ssize_t n = ::read(file.descriptor(), text.data() + have, text.size() - have);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw Error(path + ": cannot read: " + (n < 0 ? system_message() : "the file became shorter while it was read"));
    have += static_cast<std::size_t>(n);
  }
  return text;
}

/// The values that a render starts from.
class Inputs {
 public:
  Inputs(jinja::Sandbox& sandbox, TextRewrite* rewrite) : sandbox_(sandbox), rewrite_(rewrite) {}

  jinja::Value value(const TemplateVariables::Value& value) {
    if (const bool* flag = std::get_if<bool>(&value)) return jinja::make_bool(*flag);
    if (const std::string* text = std::get_if<std::string>(&value)) return jinja::make_text(*text);
    const Json* json = std::get<const Json*>(value);
    return json ? this->value(*json) : jinja::Value{};
  }

 private:
  jinja::Value value(const Json& json) {
    const jinja::Sandbox::Level level(sandbox_);
    sandbox_.spend(1);
    switch (json.kind()) {
      case Json::Kind::null: return {};
      case Json::Kind::boolean: return jinja::make_bool(json.as_bool({}));
      case Json::Kind::integer: return jinja::make_int(json.as_int({}));
      case Json::Kind::real: return jinja::make_real(json.as_number({}));
      case Json::Kind::string: return text(json.as_string({}));
      case Json::Kind::array: {
        const auto from = json.as_array({});
        auto* items = sandbox_.array<jinja::Value>(from.size());
        std::transform(from.begin(), from.end(), items, [&](const Json& item) { return value(item); });
        return jinja::make_list({items, from.size()});
      }
      case Json::Kind::object: break;
    }
    const auto from = json.as_object({});
    auto* entries = sandbox_.array<jinja::Entry>(from.size());
    std::transform(from.begin(), from.end(), entries, [&](const Json::Member& member) {
      return jinja::Entry{text(member.first), value(member.second)};
    });
    return jinja::make_dict({entries, from.size()});
  }
  jinja::Value text(std::string_view text) {
    if (!rewrite_) return jinja::make_text(text);
    sandbox_.spend_on_characters(text.size());
    rewritten_.clear();
    return jinja::make_text((*rewrite_)(text, rewritten_) ? sandbox_.keep(rewritten_) : text);
  }

  jinja::Sandbox& sandbox_;
  TextRewrite* rewrite_;
  std::string rewritten_;
};

/// A template of tokenizer_config.json, by its name there; nullptr if there is none of that name.
const Json* named_template(const Json& config, std::string_view name) {
  const Json* entry = config.find("chat_template");
  if (!entry || entry->is_string()) return name == "default" ? entry : nullptr;
  for (const Json& one : entry->as_array("chat_template")) {
    if (one.at("name").as_string("chat_template: name") == name) return &one.at("template");
  }
  return nullptr;
}

/// tokenizer_config.json of a model directory; null if there is none.
Json tokenizer_config(const std::string& model_dir) {
  const std::string path = model_dir + "/tokenizer_config.json";
  return exists(path) ? Json::parse_file(path) : Json();
}

std::vector<std::pair<std::string, std::string>> special_tokens(const Json& config) {
  std::vector<std::pair<std::string, std::string>> tokens;
  if (!config.is_object()) return tokens;
  for (const auto& [key, value] : config.as_object("tokenizer_config.json")) {
    const Json* content = value.is_object() ? value.find("content") : &value;
    if (key.ends_with("_token") && content && content->is_string()) tokens.emplace_back(key, content->as_string(key));
  }
  return tokens;
}

}  // namespace

TemplateVariables& TemplateVariables::set_all(const Json& object) {
  for (const auto& [name, value] : object.as_object("template variables")) set(name, value);
  return *this;
}

const TemplateVariables::Value* TemplateVariables::find(std::string_view name) const {
  const auto found = std::find_if(values_.begin(), values_.end(), [&](const auto& v) { return v.first == name; });
  return found == values_.end() ? nullptr : &found->second;
}

TemplateVariables& TemplateVariables::put(std::string name, Value value) {
  const auto found = std::find_if(values_.begin(), values_.end(), [&](const auto& v) { return v.first == name; });
  if (found != values_.end()) {
    found->second = std::move(value);
  } else {
    values_.emplace_back(std::move(name), std::move(value));
  }
  return *this;
}

ChatTemplate ChatTemplate::parse(std::string_view source, std::string where, const std::string& model_dir) {
  auto data = std::make_shared<ChatTemplateData>();
  if (!model_dir.empty()) data->tokens = special_tokens(tokenizer_config(model_dir));
  compile(data->program, source, std::move(where));
  return ChatTemplate(std::move(data));
}

ChatTemplate ChatTemplate::from_dir(const std::string& model_dir) {
  const std::string alone = model_dir + "/chat_template.jinja",
                    alone_with_tools = model_dir + "/additional_chat_templates/tool_use.jinja";
  const std::string config_path = model_dir + "/tokenizer_config.json";
  const Json config = tokenizer_config(model_dir);
  auto data = std::make_shared<ChatTemplateData>();
  data->tokens = special_tokens(config);
  if (exists(alone)) {
    compile(data->program, read_source(alone), alone);
    if (exists(alone_with_tools)) compile(data->with_tools, read_source(alone_with_tools), alone_with_tools);
    return ChatTemplate(std::move(data));
  }
  const Json *standard = named_template(config, "default"), *with_tools = named_template(config, "tool_use");
  if (!standard) {
    throw Error(model_dir + ": no chat template: neither chat_template.jinja nor a default chat_template in tokenizer_config.json");
  }
  compile(data->program, standard->as_string("chat_template"), config_path + ": chat_template");
  if (with_tools) compile(data->with_tools, with_tools->as_string("chat_template"), config_path + ": chat_template tool_use");
  return ChatTemplate(std::move(data));
}

bool ChatTemplate::exists_in(const std::string& model_dir) {
  if (exists(model_dir + "/chat_template.jinja")) return true;
  const Json config = tokenizer_config(model_dir);
  return named_template(config, "default") != nullptr;
}

std::string ChatTemplate::render(const TemplateVariables& variables, const RenderLimits& limits,
                                 const std::optional<LocalTime>& now) const {
  const auto is_none = [](const TemplateVariables::Value& v) {
    const auto* json = std::get_if<const Json*>(&v);
    return json && (!*json || (*json)->is_null());
  };
  const TemplateVariables::Value* tools = variables.find("tools");
  const bool tool_use = tools && !is_none(*tools) && !data_->with_tools.where.empty();
  const jinja::Program& program = tool_use ? data_->with_tools : data_->program;
  jinja::Sandbox sandbox(limits);
  jinja::Interpreter interpreter(program, sandbox, now);
  try {
    Inputs inputs(sandbox, variables.rewrite());
    for (const auto& [name, token] : data_->tokens) interpreter.set(name, jinja::make_text(token));
    for (const auto& [name, value] : variables.all()) {
      if (interpreter.mentions(name)) interpreter.set(name, inputs.value(value));
    }
    return interpreter.run();
  } catch (const jinja::Refused& e) {
    throw TemplateRefusal(e.what());
  } catch (const jinja::Failure& e) {
    throw Error(place(program.where, interpreter.line(), e.what()));
  }
}

std::string ChatTemplate::render(const Json& variables, const RenderLimits& limits, const std::optional<LocalTime>& now) const {
  return render(TemplateVariables().set_all(variables), limits, now);
}

}  // namespace atom::engine
