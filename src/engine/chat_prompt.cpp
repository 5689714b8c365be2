#include "atom/engine/chat_prompt.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "utf8.hpp"

namespace atom::engine {
namespace {

/// The special tokens of a tokenizer, found in text: sorted, and without those that begin with another one.
class Specials {
 public:
  explicit Specials(const Tokenizer& tokenizer) {
    for (const int id : tokenizer.special_tokens())
      if (!tokenizer.token(id).empty()) tokens_.push_back(tokenizer.token(id));
    std::ranges::sort(tokens_);
    const auto longer = [](auto shorter, auto other) { return other.starts_with(shorter); };
    tokens_.erase(std::unique(tokens_.begin(), tokens_.end(), longer), tokens_.end());
    for (const std::string_view token : tokens_) {
      const std::string_view first = token.substr(0, text::front(token).bytes);
      if (firsts_.empty() || firsts_.back() != first) firsts_.push_back(first);  // equal ones are neighbours
      starts_[static_cast<unsigned char>(token[0])] = true;
    }
  }

  /// The characters that special tokens begin with.
  [[nodiscard]] const std::vector<std::string_view>& firsts() const { return firsts_; }
  /// Which of them `text` begins with; firsts().size(): none.
  [[nodiscard]] std::size_t first(std::string_view text) const {
    if (!starts_[static_cast<unsigned char>(text[0])]) return firsts_.size();
    const auto at = std::ranges::find_if(firsts_, [&](auto f) { return text.starts_with(f); });
    return static_cast<std::size_t>(at - firsts_.begin());
  }
  /// The token that `text` begins with, or an empty text.
  [[nodiscard]] std::string_view token(std::string_view text) const {
    // Nothing sorts between a text and the one token it may begin with.
    const auto after = std::ranges::upper_bound(tokens_, text);
    return after != tokens_.begin() && text.starts_with(after[-1]) ? after[-1] : std::string_view();
  }

 private:
  std::vector<std::string_view> tokens_, firsts_;
  std::array<bool, 256> starts_{};
};

constexpr bool is_letter(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

/// Puts stand-ins for first characters of special tokens: of the tokens that a text spells; or wherever such a character is, but
/// for letters, which words that steer a template consist of ("role").
class Neutralise final : public TextRewrite {
 public:
  Neutralise(const Specials& specials, std::span<const StandIn> stand_ins, bool everywhere)
      : specials_(specials), stand_ins_(stand_ins), everywhere_(everywhere) {}

  bool operator()(std::string_view text, std::string& out) override {
    std::size_t copied = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const std::size_t first = specials_.first(text.substr(i));
      if (first == stand_ins_.size()) continue;
      if (specials_.token(text.substr(i)).empty() && (!everywhere_ || is_letter(text[i]))) {
        left_ |= !is_letter(text[i]);
        continue;
      }
      out += text.substr(copied, i - copied);
      out += stand_ins_[first].character;
      copied = i + stand_ins_[first].original.size();
    }
    if (copied == 0) return false;
    out += text.substr(copied);
    return true;
  }
  /// Whether a first character of a special token was left in some text.
  [[nodiscard]] bool left() const { return left_; }

 private:
  const Specials& specials_;
  std::span<const StandIn> stand_ins_;
  bool everywhere_, left_ = false;
};

// Stand-ins come from the last plane of private use characters.
constexpr char32_t first_private = 0x100000, last_private = 0x10fffd;

void note_private(std::string_view text, std::vector<char32_t>& used) {
  constexpr char lead = '\xf4';  // of that plane alone
  for (std::size_t i = text.find(lead); i != text.npos; i = text.find(lead, i + 1))
    used.push_back(text::front(text.substr(i)).scalar);
}
void note_private(const Json& json, std::vector<char32_t>& used) {
  if (json.is_string()) {
    note_private(json.as_string({}), used);
  } else if (json.is_array()) {
    for (const Json& item : json.as_array({})) note_private(item, used);
  } else if (json.is_object()) {
    for (const auto& [name, value] : json.as_object({})) {
      note_private(name, used);
      note_private(value, used);
    }
  }
}

/// One for each first character, none of which occurs in `inputs`.
std::vector<StandIn> choose_stand_ins(const Specials& specials, std::span<const Json* const> inputs) {
  std::vector<char32_t> used;
  for (const Json* json : inputs)
    if (json) note_private(*json, used);
  std::ranges::sort(used);
  std::vector<StandIn> chosen;
  char32_t next = first_private;
  for (const std::string_view original : specials.firsts()) {
    while (std::ranges::binary_search(used, next)) ++next;
    if (next > last_private) throw Error("messages: they use up the private use characters of plane 16; leave some out");
    text::append(chosen.emplace_back(StandIn{{}, std::string(original)}).character, next++);
  }
  return chosen;
}

bool same_special_tokens(const Tokenizer& tokenizer, std::vector<int> a, std::vector<int> b) {
  for (std::vector<int>* ids : {&a, &b}) std::erase_if(*ids, [&](int id) { return !tokenizer.is_special(id); });
  return a == b;
}

void check_messages(const Json& messages) {
  if (!messages.is_array()) throw Error("messages: expected an array of objects with role and content");
  const auto all = messages.as_array({});
  if (all.empty()) throw Error("messages: there are none; give at least one");
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Json* role = all[i].find("role");
    if (!role || !role->is_string())
      throw Error("messages: " + std::to_string(i) + ": expected an object with a role that is a text");
  }
}

}  // namespace

void check_template_kwargs(const Json& kwargs) {
  if (!kwargs.is_object()) throw Error("chat_template_kwargs: expected an object of variables for the chat template");
  constexpr std::array reserved{"messages",      "tools",        "documents", "add_generation_prompt", "continue_final_message",
                                "chat_template", "strftime_now", "tokenize",  "raise_exception",       "chat_template_kwargs"};
  for (const auto& [name, value] : kwargs.as_object({})) {
    if (std::ranges::find(reserved, name) != reserved.end() || name.ends_with("_token"))
      throw Error("chat_template_kwargs: " + name + ": this name is reserved, and not for requests to set; leave it out");
  }
}

std::vector<int> chat_prompt(const ChatTemplate& chat_template, const Tokenizer& tokenizer, const Json& messages,
                             const ChatPromptOptions& options) {
  check_messages(messages);
  if (options.tools && !options.tools->is_array()) throw Error("tools: expected an array");
  TemplateVariables variables;
  for (const Json* kwargs : {options.default_kwargs, options.kwargs}) {
    if (!kwargs) continue;
    check_template_kwargs(*kwargs);
    variables.set_all(*kwargs);
  }
  variables.set("messages", messages).set_none("documents").set("add_generation_prompt", options.add_generation_prompt);
  options.tools ? variables.set("tools", *options.tools) : variables.set_none("tools");

  const Specials specials(tokenizer);
  const std::array inputs{&messages, options.tools, options.kwargs, options.default_kwargs};
  const std::vector<StandIn> stand_ins = choose_stand_ins(specials, inputs);
  const auto render = [&](Neutralise& rewrite) {
    return chat_template.render(variables.rewrite_texts(rewrite), options.limits, options.now);
  };
  const auto encode = [&](const std::string& text) {
    return tokenizer.encode(text, {.add_special_tokens = false, .parse_special = true, .stand_ins = stand_ins});
  };
  Neutralise spelled(specials, stand_ins, false);
  std::vector<int> ids = encode(render(spelled));
  if (spelled.left()) {
    // A template could still make a special token of pieces ("<|im_", "end|>"), or the tokenizer of letters of another case. No
    // token that is there when every first character is a stand-in began with the messages' own text; so if there are others,
    // that render is the one to believe.
    Neutralise everywhere(specials, stand_ins, true);
    std::vector<int> sure = encode(render(everywhere));
    if (!same_special_tokens(tokenizer, ids, sure)) ids = std::move(sure);
  }
  return ids;
}

}  // namespace atom::engine
