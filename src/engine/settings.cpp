#include "atom/engine/settings.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "atom/core/error.hpp"
#include "atom/engine/json.hpp"

namespace atom::engine {

namespace {

std::string_view last_word(std::string_view field) { return field.substr(field.rfind('.') + 1); }

std::string replaced(std::string_view text, char from, char to) {
  std::string out(text);
  std::ranges::replace(out, from, to);
  return out;
}

std::string number_text(double value) {
  std::string out;
  append_json_number(out, value);
  return out;
}

std::string text_of(bool* v) { return *v ? "1" : "0"; }
std::string text_of(int* v) { return std::to_string(*v); }
std::string text_of(double* v) { return number_text(*v); }
std::string text_of(std::string* v) { return *v; }
std::string text_of(std::vector<int>* v) {
  std::string out;
  for (const int i : *v) out += (out.empty() ? "" : ",") + std::to_string(i);
  return out;
}
std::string text_of(std::optional<CUDAGraphMode>* v) { return *v ? std::string((*v)->name()) : std::string(); }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0) text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) text.remove_suffix(1);
  return text;
}

/// One value on its way in: every complaint begins with the name that the user gave it.
class Reader {
 public:
  Reader(const Setting& setting, std::string_view text, const std::string& name) : setting_(setting), text_(text), name_(name) {}

  void read(bool* v) const {
    const bool yes = text_ == "1" || text_ == "true";
    if (!yes && text_ != "0" && text_ != "false") refuse("expected 1, 0, true or false, found " + in_quotes(text_));
    *v = yes;
  }
  void read(int* v) const { *v = integer(text_); }
  void read(double* v) const {
    double x = 0;
    const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), x);
    if (error != std::errc() || end != text_.data() + text_.size() || !std::isfinite(x))
      refuse("expected a number, found " + in_quotes(text_));
    in_range(x);
    *v = x;
  }
  void read(std::string* v) const {
    std::string_view value = text_ == "{}" ? std::string_view() : text_;  // an object of nothing is nothing
    if (!setting_.bare.empty() && (value == "1" || value == "true")) value = setting_.bare;
    if (!setting_.bare.empty() && (value == "0" || value == "false"))
      value = setting_.choices.substr(0, setting_.choices.find(','));
    if (!setting_.choices.empty() && !value.empty() && !listed(value))
      refuse(in_quotes(value) + " is unknown; use one of " + std::string(setting_.choices));
    *v = value;
  }
  void read(std::vector<int>* v) const {  // [1, 2, 4] or 1,2,4
    std::string_view rest = trimmed(text_);
    if (rest.starts_with('[') && rest.ends_with(']')) rest = trimmed(rest.substr(1, rest.size() - 2));
    std::vector<int> list;
    while (!rest.empty()) {
      const auto comma = rest.find(',');
      list.push_back(integer(trimmed(rest.substr(0, comma))));
      if (comma != rest.npos && trimmed(rest.substr(comma + 1)).empty()) refuse("expected integers, found " + in_quotes(text_));
      rest = comma == rest.npos ? std::string_view() : rest.substr(comma + 1);
    }
    *v = std::move(list);
  }
  void read(std::optional<CUDAGraphMode>* v) const {
    const auto mode = CUDAGraphMode::of(text_);
    if (!mode && !text_.empty()) refuse(in_quotes(text_) + " is unknown; use one of " + std::string(CUDAGraphMode::names));
    *v = mode;
  }
  [[noreturn]] void refuse(const std::string& why) const { throw Error(name_ + ": " + why); }

 private:
  [[nodiscard]] int integer(std::string_view text) const {
    std::int64_t x = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), x);
    if (error == std::errc::result_out_of_range) x = text.starts_with('-') ? INT64_MIN : INT64_MAX;
    if (error == std::errc::invalid_argument || end != text.data() + text.size() || text.empty())
      refuse("expected an integer, found " + in_quotes(text_));
    in_range(static_cast<double>(x));
    return static_cast<int>(x);
  }
  void in_range(double x) const {
    if (x >= setting_.low && x <= setting_.high) return;
    refuse("must be between " + number_text(setting_.low) + " and " + number_text(setting_.high) + ", not " + number_text(x));
  }
  [[nodiscard]] bool listed(std::string_view value) const {
    for (std::string_view rest = setting_.choices; !rest.empty();) {
      const auto comma = rest.find(',');
      if (trimmed(rest.substr(0, comma)) == value) return true;
      rest = comma == rest.npos ? std::string_view() : rest.substr(comma + 1);
    }
    return false;
  }

  const Setting& setting_;
  std::string_view text_;
  const std::string& name_;
};

/// The value as get() would show it, read and checked.
std::string canonical(const Setting& setting, std::string_view text, const std::string& name) {
  const Reader reader(setting, text, name);
  const auto through = [&](auto value) {
    reader.read(&value);
    return text_of(&value);
  };
  switch (type_of(setting)) {
    case SettingType::boolean: return through(false);
    case SettingType::integer: return through(0);
    case SettingType::number: return through(0.0);
    case SettingType::text: return through(std::string());
    case SettingType::integers: return through(std::vector<int>());
    case SettingType::graph_mode: return through(std::optional<CUDAGraphMode>());
  }
  return {};
}

/// A value of a settings file as the text that a flag would have.
std::string text_of(const Json& value, const Setting& setting, const std::string& name) {
  const auto list = [&] {
    std::string out;
    for (const Json& item : value.as_array(name)) {
      if (!out.empty()) out += ',';
      out += item.is_string() ? item.as_string(name) : std::to_string(item.as_int(name));
    }
    return out;
  };
  switch (type_of(setting)) {
    case SettingType::boolean: return value.as_bool(name) ? "1" : "0";
    case SettingType::integer: return std::to_string(value.as_int(name));
    case SettingType::number: return number_text(value.as_number(name));
    case SettingType::integers: return list();
    case SettingType::text:
    case SettingType::graph_mode: break;
  }
  if (value.is_array()) return list();
  if (value.is_object()) return value.as_object(name).empty() ? "" : "{...}";
  if (value.kind() == Json::Kind::boolean && !setting.bare.empty()) return value.as_bool(name) ? "1" : "0";
  return value.as_string(name);
}

void apply(EngineArgs& args, const Json& object, const std::string& path, const std::string& inside) {
  static constexpr std::array<std::string_view, 3> parts{"compilation_config", "parallel_config", "speculative_config"};
  for (const auto& [key, value] : object.as_object(inside.empty() ? "settings" : inside)) {
    if (value.is_null()) continue;
    if (inside.empty() && std::ranges::find(parts, key) != parts.end()) {
      apply(args, value, path, key);
      continue;
    }
    const std::string field = inside.empty() ? key : inside + "." + key;
    const Setting* setting = find_setting(field);
    if (!setting) throw Error(path + ": " + field + ": is no setting; `atom settings` lists them");
    set(args, *setting, text_of(value, *setting, field), path + ": " + field);
  }
}

}  // namespace

std::string_view title_of(SettingGroup group) {
  switch (group) {
    case SettingGroup::model: return "Model";
    case SettingGroup::scheduling: return "Many requests: scheduling and the KV cache";
    case SettingGroup::compilation: return "Compilation and device graphs";
    case SettingGroup::parallel: return "Several copies, several machines";
    case SettingGroup::speculative: return "Speculative decoding";
    case SettingGroup::process: return "The process and its environment";
    case SettingGroup::kernels: return "Choice of kernels";
    case SettingGroup::not_built: return "Not built";
  }
  return {};
}

std::string_view name_of(SettingType type) {
  static constexpr std::array<std::string_view, 6> names{"boolean", "integer", "number", "text", "integers", "mode"};
  return names[static_cast<std::size_t>(type)];
}

SettingType type_of(const Setting& s) {
  if (!s.place) return s.type;
  EngineArgs args;
  return static_cast<SettingType>(s.place(args).index());
}

const Setting* find_setting(std::string_view name) {
  const auto all = settings();
  const auto first = [&](auto same) -> const Setting* {
    const auto at = std::ranges::find_if(all, [&](const Setting& row) { return !row.field.empty() && same(row); });
    return at == all.end() ? nullptr : &*at;
  };
  if (const Setting* s = first([&](const Setting& row) { return row.field == name; })) return s;
  const std::string flag = replaced(name, '_', '-');
  if (const Setting* s = first([&](const Setting& row) { return flag_of(row) == flag; })) return s;
  return first([&](const Setting& row) { return last_word(row.field) == name; });
}

std::string flag_of(const Setting& s) {
  return s.flag_name.empty() ? replaced(last_word(s.field), '_', '-') : std::string(s.flag_name);
}

std::vector<std::string> variables_of(const Setting& s) {
  std::vector<std::string> names;
  if (std::string name = replaced(flag_of(s), '-', '_'); !name.empty()) {
    for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    names.push_back("ATOM_" + name);
  }
  if (!s.variable.empty()) names.emplace_back(s.variable);
  return names;
}

std::string default_of(const Setting& s) {
  EngineArgs args;
  return get(args, s);
}

std::string get(EngineArgs& args, const Setting& s) {
  if (!s.place) return std::string(s.standard);
  return std::visit([](auto* value) { return text_of(value); }, s.place(args));
}

void set(EngineArgs& args, const Setting& s, std::string_view text, const std::string& name) {
  const Reader reader(s, text, name);
  const std::string value = canonical(s, text, name);
  if (s.effect == Setting::Effect::fixed && value != default_of(s)) reader.refuse(std::string(s.why));
  if (s.place) std::visit([&](auto* to) { reader.read(to); }, s.place(args));
}

void apply_environment(EngineArgs& args, std::string_view except) {
  for (const Setting& s : settings()) {
    if (!except.empty() && s.field == except) continue;
    for (const std::string& name : variables_of(s))
      if (const char* value = std::getenv(name.c_str()); value && *value) {
        set(args, s, value, name);
        break;
      }
  }
}

void apply_file(EngineArgs& args, const std::string& path) { apply(args, Json::parse_file(path), path, {}); }

void check(const EngineArgs& args) {
  EngineArgs copy = args;
  for (const Setting& s : settings())
    if (s.place) set(copy, s, get(copy, s), std::string(s.field));
}

}  // namespace atom::engine
