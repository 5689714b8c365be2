#include "print.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "../utf8.hpp"
#include "unicode.hpp"

namespace atom::engine::jinja {
namespace {

namespace utf8 = text;

void append_hex(std::string& out, const char* prefix, int digits, char32_t c) {
  constexpr std::string_view hex = "0123456789abcdef";
  out += prefix;
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) out += hex[c >> shift & 15];
}

void append_text_repr(std::string& out, std::string_view text) {
  const char quote = text.find('\'') != text.npos && text.find('"') == text.npos ? '"' : '\'';
  out += quote;
  while (!text.empty()) {
    const std::size_t bytes = first_character(text);
    std::string_view rest = text;
    const char32_t c = utf8::take(rest);
    if (c == static_cast<unsigned char>(quote) || c == '\\') {
      out += '\\';
      out += text[0];
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (is_printable(c)) {
      out += text.substr(0, bytes);
    } else if (c < 0x100) {
      append_hex(out, "\\x", 2, c);
    } else if (c < 0x10000) {
      append_hex(out, "\\u", 4, c);
    } else {
      append_hex(out, "\\U", 8, c);
    }
    text = rest;
  }
  out += quote;
}

template <class Each> void append_sequence(Sandbox& sandbox, std::string& out, std::size_t n, Each each) {
  const Sandbox::Level level(sandbox);
  for (std::size_t i = 0; i < n; ++i) {
    sandbox.spend(1);
    if (i > 0) out += ", ";
    each(i);
    sandbox.check(out.size());
  }
}

void append_entries(Sandbox& sandbox, std::string& out, std::span<const Entry> entries) {
  out += '{';
  append_sequence(sandbox, out, entries.size(), [&](std::size_t i) {
    append_repr(sandbox, out, entries[i].key);
    out += ": ";
    append_repr(sandbox, out, entries[i].value);
  });
  out += '}';
}

void append_list(Sandbox& sandbox, std::string& out, const Value& v) {
  const bool tuple = v.form == Form::tuple || v.form == Form::group;
  const bool view = v.form == Form::dict_keys || v.form == Form::dict_values || v.form == Form::dict_items;
  if (v.form == Form::range) {
    const std::int64_t first = v.size ? v.items[0].integer : 0, step = v.size > 1 ? v.items[1].integer - first : 1;
    out += "range(" + std::to_string(first) + ", " + std::to_string(v.size ? v.items[v.size - 1].integer + step : 0);
    if (step != 1) out += ", " + std::to_string(step);
    out += ')';
    return;
  }
  if (view) out.append(type_name(v)).append("(");
  out += tuple ? '(' : '[';
  append_sequence(sandbox, out, v.size, [&](std::size_t i) { append_repr(sandbox, out, v.items[i]); });
  if (tuple && v.size == 1) out += ',';
  out += tuple ? ')' : ']';
  if (view) out += ')';
}

void append_ascii_json(std::string& out, std::string_view text) {
  std::string plain;
  append_json_string(plain, text);
  for (std::string_view rest = plain; !rest.empty();) {
    const char32_t c = utf8::take(rest);
    if (c < 0x7f) {
      out += static_cast<char>(c);
    } else if (c < 0x10000) {
      append_hex(out, "\\u", 4, c);
    } else {
      append_hex(out, "\\u", 4, 0xd800 + ((c - 0x10000) >> 10));
      append_hex(out, "\\u", 4, 0xdc00 + ((c - 0x10000) & 0x3ff));
    }
  }
}

class JsonWriter {
 public:
  JsonWriter(Sandbox& sandbox, std::string& out, const JsonStyle& style) : sandbox_(sandbox), out_(out), style_(style) {}

  void write(const Value& v) {
    sandbox_.spend(1);
    sandbox_.check(out_.size());
    switch (v.kind) {
      case Kind::none: out_ += "null"; return;
      case Kind::boolean: out_ += v.boolean ? "true" : "false"; return;
      case Kind::integer: out_ += std::to_string(v.integer); return;
      case Kind::real: return write_real(v.real);
      case Kind::text: return write_text(v.text());
      case Kind::dict: return write_dict(v.dict());
      case Kind::list:
        if (v.form == Form::plain || v.form == Form::tuple || v.form == Form::group) {
          return write_items('[', ']', v.size, [&](std::size_t i) { write(v.items[i]); });
        }
        break;
      default: break;
    }
    fail("Object of type ", type_name(v), " is not JSON serializable");
  }

 private:
  void write_real(double x) {
    if (std::isfinite(x)) return append_real(out_, x);
    out_ += std::isnan(x) ? "NaN" : x < 0 ? "-Infinity" : "Infinity";
  }

  void write_text(std::string_view text) {
    sandbox_.spend_on(text.size());
    if (style_.ascii) {
      append_ascii_json(out_, text);
    } else {
      append_json_string(out_, text);
    }
  }

  void write_dict(std::span<const Entry> entries) {
    std::vector<Entry> sorted;
    if (style_.sort_keys) {
      sorted.assign(entries.begin(), entries.end());
      std::stable_sort(sorted.begin(), sorted.end(), [&](const Entry& a, const Entry& b) {
        sandbox_.spend(1);
        return less(sandbox_, a.key, b.key);
      });
      entries = sorted;
    }
    write_items('{', '}', entries.size(), [&](std::size_t i) {
      const Value& key = entries[i].key;
      if (key.is(Kind::text)) {
        write_text(key.text());
      } else if (key.is_number() || key.is(Kind::none)) {
        out_ += '"';
        write(key);
        out_ += '"';
      } else {
        fail("keys must be str, int, float, bool or None, not ", type_name(key));
      }
      out_ += style_.key_separator;
      write(entries[i].value);
    });
  }

  template <class Each> void write_items(char open, char close, std::size_t n, Each each) {
    const Sandbox::Level level(sandbox_);
    out_ += open;
    ++depth_;
    for (std::size_t i = 0; i < n; ++i) {
      if (i > 0) out_ += style_.item_separator;
      new_line();
      each(i);
    }
    --depth_;
    if (n > 0) new_line();
    out_ += close;
  }

  void new_line() {
    if (!style_.indented) return;
    sandbox_.check(out_.size() + depth_ * style_.indent.size());
    out_ += '\n';
    for (std::size_t i = 0; i < depth_; ++i) out_ += style_.indent;
  }

  Sandbox& sandbox_;
  std::string& out_;
  const JsonStyle& style_;
  std::size_t depth_ = 0;
};

}  // namespace

void append_real(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += std::isnan(value) ? "nan" : value < 0 ? "-inf" : "inf";
    return;
  }
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  std::string_view shortest(buffer, static_cast<std::size_t>(end - buffer));  // "-d.ddde+XX"
  if (shortest.starts_with('-')) {
    out += '-';
    shortest.remove_prefix(1);
  }
  const std::size_t e = shortest.find('e');
  int exponent = 0;
  std::from_chars(shortest.data() + e + (shortest[e + 1] == '+' ? 2 : 1), end, exponent);
  std::string digits(shortest.substr(0, 1));
  if (e > 2) digits += shortest.substr(2, e - 2);
  if (exponent < -4 || exponent >= 16) {
    out += digits[0];
    if (digits.size() > 1) out.append(".").append(digits, 1);
    std::snprintf(buffer, sizeof buffer, "e%c%02d", exponent < 0 ? '-' : '+', std::abs(exponent));
    out += buffer;
  } else if (exponent < 0) {
    out.append("0.").append(static_cast<std::size_t>(-exponent - 1), '0').append(digits);
  } else {
    const auto whole = static_cast<std::size_t>(exponent) + 1;
    if (digits.size() < whole) digits.append(whole - digits.size(), '0');
    out.append(digits, 0, whole).append(".").append(digits.size() > whole ? digits.substr(whole) : "0");
  }
}

void append_repr(Sandbox& sandbox, std::string& out, const Value& v) {
  switch (v.kind) {
    case Kind::undefined: out += "Undefined"; return;
    case Kind::none: out += "None"; return;
    case Kind::boolean: out += v.boolean ? "True" : "False"; return;
    case Kind::integer: out += std::to_string(v.integer); return;
    case Kind::real: return append_real(out, v.real);
    case Kind::text:
      sandbox.spend_on_characters(v.size);
      if (v.is_markup()) out += "Markup(";
      append_text_repr(out, v.text());
      if (v.is_markup()) out += ')';
      return;
    case Kind::list: return append_list(sandbox, out, v);
    case Kind::dict: return append_entries(sandbox, out, v.dict());
    case Kind::name_space: {
      std::vector<Entry> entries;
      for (const auto* a = v.name_space->first; a; a = a->next) entries.push_back({make_text(a->name), a->value});
      out += "<Namespace ";
      append_entries(sandbox, out, entries);
      out += '>';
      return;
    }
    default: out.append("<").append(type_name(v)).append(">");
  }
}

void append_str(Sandbox& sandbox, std::string& out, const Value& v) {
  if (v.is(Kind::text)) {
    out += v.text();
  } else if (!v.is(Kind::undefined)) {
    append_repr(sandbox, out, v);
  }
}

void append_json(Sandbox& sandbox, std::string& out, const Value& v, const JsonStyle& style) {
  JsonWriter(sandbox, out, style).write(v);
}

std::string_view to_text(Sandbox& sandbox, const Value& v) {
  if (v.is(Kind::text)) return v.text();
  std::string out;
  append_str(sandbox, out, v);
  return sandbox.keep(out);
}

}  // namespace atom::engine::jinja
