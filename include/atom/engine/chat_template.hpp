#pragma once
// ChatTemplate: messages to the text a model was trained on, by the Jinja template that comes with the model.
// One idea: a template is a program from outside, so it runs in a sandbox: no access to anything but its variables, which it
// cannot change, and every step and byte is counted. Its output equals, byte for byte, what HuggingFace transformers renders.
// To extend: a filter, test or method is one function and one row of a table in src/engine/jinja.
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "atom/core/error.hpp"
#include "atom/engine/json.hpp"

namespace atom::engine {

/// What one render may use; going beyond is an Error that names the limit. The defaults allow conversations of megabytes and
/// stop a hostile template after a second or two.
struct RenderLimits {
  std::size_t steps = 50'000'000;  ///< expressions evaluated, and text looked at: 64 bytes a step, fewer for costly work
  std::size_t bytes = std::size_t{128} << 20;  ///< values made and text printed, all of it together
  int depth = 1000;                            ///< nested blocks, operators, macro calls, values: 1000 take under 1 MiB of stack
};

/// Local time for strftime_now; without one, the machine's clock and time zone.
struct LocalTime {
  int year, month, day;  // month from 1
  int hour = 0, minute = 0, second = 0;
};

/// The template called raise_exception: what() is its message, bare, as it is meant for the author of the messages.
struct TemplateRefusal : Error {
  using Error::Error;
};

/// Changes texts on their way into a render.
class TextRewrite {
 public:
  virtual ~TextRewrite() = default;
  /// True if the template is to see `out`, which comes empty, instead of `text`.
  virtual bool operator()(std::string_view text, std::string& out) = 0;
};

/// Named values for a template. A later value replaces an earlier one of the same name, so set last what requests must not
/// override. A Json is kept by reference and must live until the render ends.
class TemplateVariables {
 public:
  TemplateVariables& set(std::string name, const Json& value) { return put(std::move(name), &value); }
  TemplateVariables& set(std::string name, Json&& value) = delete;
  TemplateVariables& set(std::string name, bool value) { return put(std::move(name), value); }
  TemplateVariables& set(std::string name, std::string value) { return put(std::move(name), std::move(value)); }
  TemplateVariables& set(std::string name, const char* value) { return put(std::move(name), std::string(value)); }
  /// Defined, but none: what `tools` and `documents` are when there are none.
  TemplateVariables& set_none(std::string name) { return put(std::move(name), static_cast<const Json*>(nullptr)); }
  /// Every member of an object; throws atom::Error if it is none.
  TemplateVariables& set_all(const Json& object);
  TemplateVariables& set_all(Json&& object) = delete;
  /// Applies to every text in a Json value, keys included; must live until the render ends.
  TemplateVariables& rewrite_texts(TextRewrite& rewrite) {
    rewrite_ = &rewrite;
    return *this;
  }

  using Value = std::variant<const Json*, bool, std::string>;  // a null pointer is none
  [[nodiscard]] const std::vector<std::pair<std::string, Value>>& all() const { return values_; }
  [[nodiscard]] const Value* find(std::string_view name) const;
  [[nodiscard]] TextRewrite* rewrite() const { return rewrite_; }

 private:
  TemplateVariables& put(std::string name, Value value);
  TextRewrite* rewrite_ = nullptr;
  std::vector<std::pair<std::string, Value>> values_;
};

struct ChatTemplateData;

/// Cheap to copy (copies share one immutable program); all members may be called by any number of threads at once.
class ChatTemplate {
 public:
  /// `where` names the template in messages. Throws atom::Error, "<where>: line <n>: <what>", for what is no valid template, for
  /// an unknown filter or test outside of a condition, and for tags that would read other files. With a
  /// model_dir the special tokens of its tokenizer_config.json become variables.
  static ChatTemplate parse(std::string_view source, std::string where, const std::string& model_dir = {});
  /// The template of a model directory: chat_template.jinja, or else `chat_template` of tokenizer_config.json, which may be a
  /// list of named ones: "tool_use" serves renders that are given tools, "default" the others. (Files in
  /// additional_chat_templates/ name further ones.) The special tokens of tokenizer_config.json become variables.
  static ChatTemplate from_dir(const std::string& model_dir);
  /// Whether from_dir would find a template.
  static bool exists_in(const std::string& model_dir);

  /// Renders. Templates expect `messages`, `tools`, `documents`, `add_generation_prompt`, `bos_token`, `eos_token`; they tell
  /// undefined from none. Throws TemplateRefusal (see there) or atom::Error, "<where>: line <n>: <what>".
  [[nodiscard]] std::string render(const TemplateVariables& variables, const RenderLimits& limits = {},
                                   const std::optional<LocalTime>& now = {}) const;
  /// The same with the members of one object as variables.
  [[nodiscard]] std::string render(const Json& variables, const RenderLimits& limits = {},
                                   const std::optional<LocalTime>& now = {}) const;

 private:
  explicit ChatTemplate(std::shared_ptr<const ChatTemplateData> data) : data_(std::move(data)) {}
  std::shared_ptr<const ChatTemplateData> data_;
};

}  // namespace atom::engine
