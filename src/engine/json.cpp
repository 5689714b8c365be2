#include "atom/engine/json.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <simdjson.h>
#include <unistd.h>

#include "atom/core/error.hpp"

#include "file.hpp"
#include "utf8.hpp"

namespace atom::engine {
namespace {

namespace utf8 = text;

[[noreturn]] void fail(std::string_view where, std::string_view what, std::string_view problem) {
  std::string message(where);
  for (std::string_view part : {what, problem}) {
    if (part.empty()) continue;
    if (!message.empty()) message += ": ";
    message += part;
  }
  throw Error(message);
}

constexpr std::string_view kind_names[] = {"null", "a boolean", "an integer", "a real number", "a string", "an array", "an object"};

std::size_t first_invalid_utf8(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const utf8::Sequence s = utf8::front(text.substr(at));
    if (s.kind != utf8::Sequence::Kind::character) break;
    at += s.bytes;
  }
  return at;
}

/// The text with ".0" after every integer of 19 digits or more: simdjson refuses integers beyond 64 bits, and
/// tokenizer_config.json files hold 1000000000000000019884624838656.
std::string with_large_integers_as_reals(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 64);
  bool in_string = false;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    const auto is_digit = [&](std::size_t k) { return k < text.size() && text[k] >= '0' && text[k] <= '9'; };
    if (!in_string && is_digit(i)) {
      std::size_t end = i;
      while (is_digit(end)) ++end;
      out += text.substr(i, end - i);
      const bool integer = end == text.size() || std::string_view(".eE").find(text[end]) == std::string_view::npos;
      const bool fraction = i > 0 && std::string_view(".eE+").find(text[i - 1]) != std::string_view::npos;
      if (integer && !fraction && end - i >= 19) out += ".0";
      i = end;
      continue;
    }
    if (in_string && c == '\\' && i + 1 < text.size()) {
      out += c;
      out += text[i + 1];
      i += 2;
      continue;
    }
    if (c == '"') in_string = !in_string;
    out += c;
    ++i;
  }
  return out;
}

/// Walks the text with simdjson's lazy parser, which knows where it stands; false where it stumbles.
template <class Value> bool walk(Value value, int levels_left) {
  namespace lazy = simdjson::ondemand;
  const auto type = value.type();
  if (type.error() || levels_left == 0) return false;
  switch (type.value_unsafe()) {
    case lazy::json_type::array: {
      auto items = value.get_array();
      if (items.error()) return false;
      for (auto item : items.value_unsafe()) {
        if (item.error() || !walk(item.value_unsafe(), levels_left - 1)) return false;
      }
      return true;
    }
    case lazy::json_type::object: {
      auto members = value.get_object();
      if (members.error()) return false;
      for (auto member : members.value_unsafe()) {
        if (member.error() || member.unescaped_key().error()) return false;
        auto item = member.value();
        if (item.error() || !walk(item.value_unsafe(), levels_left - 1)) return false;
      }
      return true;
    }
    case lazy::json_type::number: return !value.get_double().error();
    case lazy::json_type::string: return !value.get_string().error();
    case lazy::json_type::boolean: return !value.get_bool().error();
    case lazy::json_type::null: {
      bool null = false;
      return !value.is_null().get(null) && null;
    }
  }
  return false;
}

/// " at byte 12 (line 3)", or nothing when the mistake has no place (a string or bracket that is never closed).
std::string place_of_mistake(std::string_view text, JsonLimits limits) {
  const simdjson::padded_string padded(text);
  simdjson::ondemand::parser parser;
  simdjson::ondemand::document document;
  const char* at = nullptr;
  if (parser.iterate(padded).get(document)) return {};
  walk<simdjson::ondemand::document&>(document, limits.depth);
  if (document.current_location().get(at)) return {};
  const std::ptrdiff_t offset = at - padded.data();
  if (offset <= 0 || offset >= static_cast<std::ptrdiff_t>(text.size())) return {};
  const auto lines = std::count(padded.data(), at, '\n') + 1;
  return " at byte " + std::to_string(offset) + " (line " + std::to_string(lines) + ")";
}

}  // namespace

/// Turns simdjson's tape into Json values. Recursion is bounded: simdjson has refused anything deeper than the limit.
struct JsonBuilder {
  std::shared_ptr<const std::string> where;
  std::size_t most_values, values = 0;

  [[nodiscard]] Json build(simdjson::dom::element e) {
    if (++values > most_values) fail(*where, {}, "more JSON values than the " + std::to_string(most_values) + " accepted");
    Json j;
    j.where_ = where;
    switch (e.type()) {
      case simdjson::dom::element_type::NULL_VALUE: break;
      case simdjson::dom::element_type::BOOL: j.value_ = e.get_bool().value_unsafe(); break;
      case simdjson::dom::element_type::INT64: j.value_ = e.get_int64().value_unsafe(); break;
      case simdjson::dom::element_type::UINT64: j.value_ = static_cast<double>(e.get_uint64().value_unsafe()); break;
      case simdjson::dom::element_type::DOUBLE: j.value_ = e.get_double().value_unsafe(); break;
      case simdjson::dom::element_type::STRING: j.value_ = std::string(e.get_string().value_unsafe()); break;
      case simdjson::dom::element_type::ARRAY: {
        auto& items = j.value_.emplace<std::vector<Json>>();
        const simdjson::dom::array array = e.get_array().value_unsafe();
        items.reserve(array.size());
        for (const simdjson::dom::element item : array) items.push_back(build(item));
        break;
      }
      case simdjson::dom::element_type::OBJECT: {
        auto& members = j.value_.emplace<std::vector<Json::Member>>();
        const simdjson::dom::object object = e.get_object().value_unsafe();
        members.reserve(object.size());
        for (const auto [key, value] : object) members.emplace_back(key, build(value));
        refuse_duplicates(members);
        break;
      }
    }
    return j;
  }

  void refuse_duplicates(const std::vector<Json::Member>& members) const {
    std::vector<std::string_view> keys;
    keys.reserve(members.size());
    for (const auto& member : members) keys.emplace_back(member.first);
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice != keys.end()) fail(*where, in_quotes(*twice), "duplicate key");
  }
};

Json Json::parse(std::string_view text, std::string_view where, JsonLimits limits) {
  if (text.size() > limits.bytes) {
    fail(where, {}, std::to_string(text.size()) + " bytes of JSON, more than the " + std::to_string(limits.bytes) + " accepted");
  }
  simdjson::dom::parser parser;
  simdjson::error_code error = parser.allocate(text.size(), static_cast<std::size_t>(limits.depth) + 1);
  simdjson::dom::element root;
  if (!error) error = parser.parse(text.data(), text.size()).get(root);
  std::string rewritten;  // outlives the use of root
  if (error == simdjson::NUMBER_ERROR) {
    rewritten = with_large_integers_as_reals(text);
    error = parser.parse(rewritten).get(root);
  }
  switch (error) {
    case simdjson::SUCCESS: break;
    case simdjson::EMPTY: fail(where, {}, "no JSON in it: the text is empty");
    case simdjson::UTF8_ERROR: fail(where, {}, "not UTF-8 at byte " + std::to_string(first_invalid_utf8(text)));
    case simdjson::DEPTH_ERROR: fail(where, {}, "JSON nested deeper than " + std::to_string(limits.depth) + " levels");
    default: fail(where, {}, "not JSON" + place_of_mistake(text, limits) + ": " + simdjson::error_message(error));
  }
  return JsonBuilder{std::make_shared<const std::string>(where), limits.values}.build(root);
}

Json Json::parse_file(const std::string& path, JsonLimits limits) {
  const File file(path);
  if (file.size() > limits.bytes) {
    fail(path, {}, std::to_string(file.size()) + " bytes of JSON, more than the " + std::to_string(limits.bytes) + " accepted");
  }
  std::string text;
  text.reserve(file.size() + simdjson::SIMDJSON_PADDING);
  text.resize(file.size());
  for (std::size_t have = 0; have < text.size();) {
    const ssize_t n = ::read(file.descriptor(), text.data() + have, text.size() - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(path, "cannot read", system_message());
    if (n == 0) fail(path, {}, "the file became shorter while it was read");
    have += static_cast<std::size_t>(n);
  }
  return parse(text, path, limits);
}

namespace {

template <class T> const T& expect(const T* value, const Json& j, std::string_view what, std::string_view expected) {
  if (value) return *value;
  const std::string_view found = kind_names[static_cast<int>(j.kind())];
  fail(j.where(), what, "expected " + std::string(expected) + ", found " + std::string(found));
}

}  // namespace

bool Json::as_bool(std::string_view what) const { return expect(std::get_if<bool>(&value_), *this, what, "true or false"); }

std::int64_t Json::as_int(std::string_view what) const {
  if (const double* real = std::get_if<double>(&value_)) {
    if (*real == std::trunc(*real) && std::abs(*real) <= 0x1p53) return static_cast<std::int64_t>(*real);
    std::string shown;
    append_json_number(shown, *real);
    fail(where(), what, "expected an integer of 64 bits, found " + shown);
  }
  return expect(std::get_if<std::int64_t>(&value_), *this, what, "an integer");
}

double Json::as_number(std::string_view what) const {
  if (const auto* integer = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*integer);
  return expect(std::get_if<double>(&value_), *this, what, "a number");
}

const std::string& Json::as_string(std::string_view what) const {
  return expect(std::get_if<std::string>(&value_), *this, what, "a string");
}

std::span<const Json> Json::as_array(std::string_view what) const {
  return expect(std::get_if<std::vector<Json>>(&value_), *this, what, "an array");
}

std::span<const Json::Member> Json::as_object(std::string_view what) const {
  return expect(std::get_if<std::vector<Member>>(&value_), *this, what, "an object");
}

const Json* Json::find(std::string_view key) const {
  if (const auto* members = std::get_if<std::vector<Member>>(&value_)) {
    for (const auto& [name, value] : *members) {
      if (name == key) return value.is_null() ? nullptr : &value;
    }
  }
  return nullptr;
}

const Json& Json::at(std::string_view key) const {
  if (const Json* member = find(key)) return *member;
  fail(where(), key, is_object() ? "missing" : "looked for in " + std::string(kind_names[static_cast<int>(kind())]));
}

bool Json::get(std::string_view key, bool otherwise) const {
  const Json* member = find(key);
  return member ? member->as_bool(key) : otherwise;
}

std::int64_t Json::get(std::string_view key, std::int64_t otherwise) const {
  const Json* member = find(key);
  return member ? member->as_int(key) : otherwise;
}

double Json::get(std::string_view key, double otherwise) const {
  const Json* member = find(key);
  return member ? member->as_number(key) : otherwise;
}

std::string Json::get(std::string_view key, std::string_view otherwise) const {
  const Json* member = find(key);
  return member ? member->as_string(key) : std::string(otherwise);
}

std::string_view Json::where() const { return where_ ? std::string_view(*where_) : std::string_view(); }

void append_json_string(std::string& out, std::string_view text) {
  constexpr std::string_view short_escapes = "\"\"\\\\\bb\ff\nn\rr\tt";  // pairs: the byte, its letter
  constexpr std::string_view hex = "0123456789abcdef";
  out += '"';
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    const utf8::Sequence s = utf8::front(text.substr(at));
    if (s.kind != utf8::Sequence::Kind::character) {
      out += utf8::replacement_character;
    } else if (s.scalar >= 0x20 && c != '"' && c != '\\') {
      out += text.substr(at, s.bytes);
    } else if (const std::size_t pair = short_escapes.find(c); pair != short_escapes.npos) {
      out += '\\';
      out += short_escapes[pair + 1];
    } else {
      out += "\\u00";
      out += hex[s.scalar >> 4];
      out += hex[s.scalar & 15];
    }
    at += s.bytes;
  }
  out += '"';
}

void append_json_number(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  char buffer[32];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  out.append(buffer, end);
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t longest = 80;
  std::string out;
  append_json_string(out, text.substr(0, longest));
  if (text.size() > longest) out += "...";
  return out;
}

}  // namespace atom::engine
