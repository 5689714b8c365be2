// The table of settings as a page: what docs/configuration.md quotes.
#include <algorithm>
#include <utility>

#include "atom/engine/json.hpp"
#include "atom/engine/settings.hpp"

namespace atom::engine {

namespace {

std::string code(std::string_view text) { return text.empty() ? std::string() : "`" + std::string(text) + "`"; }

std::string type_text(const Setting& s) {
  if (!s.choices.empty()) return std::string(s.choices);
  std::string text(name_of(type_of(s)));
  const auto number = [](double x) {
    std::string out;
    append_json_number(out, x);
    return out;
  };
  if (type_of(s) == SettingType::boolean || type_of(s) == SettingType::text || type_of(s) == SettingType::graph_mode) return text;
  const Setting any;
  if (s.low > any.low && s.high < any.high) return text + " " + number(s.low) + " to " + number(s.high);
  return s.low > any.low ? text + ", " + number(s.low) + " or more" : text;
}

std::string effect_text(const Setting& s) {
  switch (s.effect) {
    case Setting::Effect::works: return "works";
    case Setting::Effect::fixed: return "this value only";
    case Setting::Effect::none: return "no effect";
  }
  return {};
}

std::string flags_text(const Setting& s) {
  if (s.field.empty()) return {};
  std::string text = code("--" + flag_of(s));
  for (std::string_view rest = s.alias; !rest.empty();) {
    const auto comma = std::min(rest.find(", "), rest.size());
    text += ", " + code(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 2, rest.size()));
  }
  return text;
}

std::string variables_text(const Setting& s) {
  std::string text;
  for (const std::string& name : variables_of(s)) text += (text.empty() ? "" : ", ") + code(name);
  return text;
}

std::string name_text(const Setting& s) { return code(s.field.empty() ? s.variable : s.field); }

/// Sentences that settings of one effect share, each once, after the names of those settings.
std::string sentences(Setting::Effect effect) {
  std::vector<std::pair<std::string_view, std::string>> list;
  for (const Setting& s : settings()) {
    if (s.effect != effect) continue;
    auto same = list.begin();
    while (same != list.end() && same->first != s.why) ++same;
    if (same == list.end()) same = list.insert(same, {s.why, {}});
    same->second += (same->second.empty() ? "" : ", ") + name_text(s);
  }
  std::string out;
  for (const auto& [why, names] : list) out += "- " + names + ": " + std::string(why) + "\n";
  return out;
}

}  // namespace

std::string settings_markdown() {
  std::string out;
  const Setting* last = nullptr;
  for (const Setting& s : settings()) {
    if (!last || last->group != s.group)
      out += (last ? "\n## " : "## ") + std::string(title_of(s.group)) +
             "\n\n| Field | Flag | Variable | Type | Default | Meaning | Today |\n|---|---|---|---|---|---|---|\n";
    out += "| " + code(s.field) + " | " + flags_text(s) + " | " + variables_text(s) + " | " + type_text(s) + " | " +
           code(default_of(s)) + " | " + std::string(s.meaning) + " | " + effect_text(s) + " |\n";
    last = &s;
  }
  out += "\n## Refusals\n\nWhat is said when one of these is given another value than its default:\n\n";
  out += sentences(Setting::Effect::fixed);
  out += "\n## Without effect\n\nAccepted with any value, because programs beside atom use them:\n\n";
  return out + sentences(Setting::Effect::none);
}

std::string settings_json() {
  std::string out = "[";
  for (const Setting& s : settings()) {
    out += out.size() > 1 ? ",\n {" : "{";
    auto add = [&, first = true](std::string_view key, std::string_view value) mutable {
      out += first ? "" : ", ";
      first = false;
      append_json_string(out, key);
      out += ": ";
      append_json_string(out, value);
    };
    add("field", s.field);
    add("flag", s.field.empty() ? "" : "--" + flag_of(s));
    add("alias", s.alias);
    out += ", \"variables\": [";
    std::string list;
    for (const std::string& name : variables_of(s)) {
      list += list.empty() ? "" : ", ";
      append_json_string(list, name);
    }
    out += list + "]";
    add("type", name_of(type_of(s)));
    add("values", type_text(s));
    add("default", default_of(s));
    add("group", title_of(s.group));
    add("meaning", s.meaning);
    add("today", effect_text(s));
    add("why", s.why);
    out += "}";
  }
  return out + "]\n";
}

}  // namespace atom::engine
