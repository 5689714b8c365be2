#include "generate_line.hpp"

#include <algorithm>
#include <limits>

#include "atom/core/error.hpp"
#include "atom/engine/chat_prompt.hpp"

namespace atom::tools {

namespace {

// The value of a field as read() gives it; Json's own message says which type it must have.
template <class Read> auto typed(const std::string& field, Read&& read) {
  try {
    return read();
  } catch (const Error& e) {
    std::string_view why = e.what();
    for (const std::string& prefix : {std::string("line: "), field + ": "})
      if (why.starts_with(prefix)) why.remove_prefix(prefix.size());
    throw BadLine{field, std::string(why)};
  }
}

int token_of(const std::string& field, const engine::Json& value) {
  const std::int64_t id = typed(field, [&] { return value.as_int(field); });
  if (id < 0 || id > std::numeric_limits<int>::max()) throw BadLine{field, std::to_string(id) + " is no token id"};
  return static_cast<int>(id);
}
std::vector<int> tokens_of(const std::string& field, const engine::Json& value) {
  std::vector<int> ids;
  for (const auto& id : typed(field, [&] { return value.as_array(field); })) ids.push_back(token_of(field, id));
  return ids;
}

void read_field(const std::string& key, const engine::Json& v, engine::SamplingParams& p) {
  const auto number = [&](double& to) { to = typed(key, [&] { return v.as_number(key); }); };
  const auto integer = [&](std::int64_t& to) { to = typed(key, [&] { return v.as_int(key); }); };
  const auto text = [&](const engine::Json& j) { return typed(key, [&] { return j.as_string(key); }); };
  if (v.is_null()) return;  // equals absent
  if (key == "temperature") return number(p.temperature);
  if (key == "top_p") return number(p.top_p);
  if (key == "min_p") return number(p.min_p);
  if (key == "presence_penalty") return number(p.presence_penalty);
  if (key == "frequency_penalty") return number(p.frequency_penalty);
  if (key == "repetition_penalty") return number(p.repetition_penalty);
  if (key == "max_tokens") return integer(p.max_tokens);
  if (key == "min_tokens") return integer(p.min_tokens);
  if (key == "top_k") return integer(p.top_k);
  if (key == "n") return integer(p.n);
  if (key == "logprobs") return integer(p.logprobs);
  if (key == "ignore_eos") {
    p.ignore_eos = typed(key, [&] { return v.as_bool(key); });
  } else if (key == "seed") {
    const std::int64_t seed = typed(key, [&] { return v.as_int(key); });
    if (seed < 0) throw BadLine{key, "must be 0 or more"};
    p.seed = static_cast<std::uint64_t>(seed);
  } else if (key == "stop") {
    p.stop_strings.clear();
    if (v.is_string())
      p.stop_strings.push_back(text(v));
    else
      for (const auto& s : typed(key, [&] { return v.as_array(key); })) p.stop_strings.push_back(text(s));
  } else if (key == "stop_token_ids") {
    p.stop_token_ids = tokens_of(key, v);
  } else if (key == "logit_bias") {
    p.logit_bias.clear();
    for (const auto& [token, bias] : typed(key, [&] { return v.as_object(key); })) {
      const bool digits = !token.empty() && token.size() < 10 && token.find_first_not_of("0123456789") == token.npos;
      if (!digits) throw BadLine{key, engine::in_quotes(token) + " is no token id"};
      p.logit_bias.push_back({std::stoi(token), typed(key, [&, &b = bias] { return b.as_number(key); })});
    }
  } else {
    throw BadLine{key,
                  "is unknown; a line has prompt, or messages, tools, chat_template_kwargs; max_tokens, min_tokens, temperature, "
                  "top_k, top_p, min_p, seed, n, stop, "
                  "stop_token_ids, ignore_eos, logprobs, logit_bias, presence_penalty, frequency_penalty, repetition_penalty"};
  }
}

// The ids of a line's messages.
std::vector<int> ids_of(const engine::Json& messages, const engine::Json* tools, const engine::Json* kwargs, const LineContext& c) {
  if (!c.tokenizer) throw BadLine{"messages", "need a tokenizer, and the model's directory has none; give a prompt of token ids"};
  if (!c.chat_template) throw BadLine{"messages", c.no_template};
  try {
    return engine::chat_prompt(*c.chat_template, *c.tokenizer, messages,
                               {.tools = tools, .kwargs = kwargs, .default_kwargs = &c.template_kwargs});
  } catch (const engine::TemplateRefusal& e) {
    throw BadLine{"messages", e.what()};
  } catch (const Error& e) {
    const std::string_view what = e.what();
    for (const std::string_view field : {"messages", "tools", "chat_template_kwargs"})
      if (what.starts_with(field) && what.substr(field.size()).starts_with(": "))
        throw BadLine{std::string(field), std::string(what.substr(field.size() + 2))};
    throw BadLine{"messages", std::string(what)};
  }
}

engine::Prompt prompt_of(const engine::Json& value, const LineContext& c) {
  if (value.is_array()) return tokens_of("prompt", value);
  if (!value.is_string()) throw BadLine{"prompt", "expected a text or an array of token ids"};
  const std::string& text = value.as_string("prompt");
  if (text.empty() && c.bos_token >= 0 && c.tokenizer && c.tokenizer->encode(text).empty()) return std::vector(1, c.bos_token);
  return text;
}

}  // namespace

engine::Request request_of(const std::string& line, const LineContext& context) {
  engine::Request r;
  r.params = context.defaults;
  const auto json = typed("line", [&] { return engine::Json::parse(line, "line"); });
  const engine::Json *prompt = nullptr, *messages = nullptr, *tools = nullptr, *kwargs = nullptr;
  const struct {
    std::string_view key;
    const engine::Json*& to;
  } inputs[] = {{"prompt", prompt}, {"messages", messages}, {"tools", tools}, {"chat_template_kwargs", kwargs}};
  for (const auto& [key, value] : typed("line", [&] { return json.as_object("line"); })) {
    const auto* input = std::find_if(std::begin(inputs), std::end(inputs), [&k = key](const auto& i) { return i.key == k; });
    if (input == std::end(inputs))
      read_field(key, value, r.params);
    else if (!value.is_null())
      input->to = &value;
  }
  if (prompt && messages) throw BadLine{"messages", "stand beside a prompt; give one of the two"};
  if (!prompt && !messages) throw BadLine{"prompt", "is missing, and so are messages; give one of the two"};
  if (prompt && (tools || kwargs)) throw BadLine{tools ? "tools" : "chat_template_kwargs", "are for messages, not for a prompt"};
  if (prompt)
    r.prompt = prompt_of(*prompt, context);
  else
    r.prompt = ids_of(*messages, tools, kwargs, context);
  return r;
}

}  // namespace atom::tools
