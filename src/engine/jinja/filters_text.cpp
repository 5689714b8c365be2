// Filters that make a text.
#include <algorithm>
#include <array>

#include "../utf8.hpp"
#include "natives.hpp"
#include "operators.hpp"
#include "print.hpp"
#include "unicode.hpp"

namespace atom::engine::jinja {
namespace {

using Convert = std::string (*)(std::string_view);

/// What a filter that takes any value makes of it: a text stays what it is.
Value soft(Sandbox& sandbox, const Value& v) { return v.is(Kind::text) ? v : make_text(to_text(sandbox, v)); }

/// A filter without parameters that converts the text.
template <Convert convert> Value converted(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters none("filter", arguments, {});
  const Value text = soft(sandbox, self);
  sandbox.spend_on_characters(2 * text.size);
  return make_like(text, sandbox.keep(convert(text.text())));
}

/// A capital letter at the beginning of each word: after white space or one of -([{<.
std::string title_words(std::string_view text) {
  std::string out;
  const auto is_break = [](char32_t c) { return is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<'; };
  while (!text.empty()) {
    std::string_view rest = text;
    const bool breaks = is_break(text::take(rest));
    while (!rest.empty()) {
      std::string_view after = rest;
      if (is_break(text::take(after)) != breaks) break;
      rest = after;
    }
    const std::string_view run = text.substr(0, text.size() - rest.size());
    const std::size_t first = first_character(run);
    out.append(upper(run.substr(0, first))).append(lower(run.substr(first)));
    text = rest;
  }
  return out;
}

Value trim(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("trim", arguments, {"chars"});
  const Value text = soft(sandbox, self);
  const Value chars = p.has(0) ? make_text(p.text(0)) : Value();
  return find_method(text, "strip")(sandbox, text, {{&chars, 1}, {}});
}

Value string(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters none("string", arguments, {});
  return soft(sandbox, self);
}

Value safe(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters none("safe", arguments, {});
  return make_text(to_text(sandbox, self), Form::markup);
}

Value escape(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters none("escape", arguments, {});
  if (self.is_markup()) return self;
  const std::string_view text = to_text(sandbox, self);
  sandbox.spend_on(text.size());
  return keep_text(sandbox, escape_html(text), Form::markup);
}

Value force_escape(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters none("forceescape", arguments, {});
  return keep_text(sandbox, escape_html(to_text(sandbox, self)), Form::markup);
}

Value replace(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("replace", arguments, {"old", "new", "count"}, 2);
  const Value plain[] = {make_text(to_text(sandbox, *p[0])), make_text(to_text(sandbox, *p[1])), make_int(p.whole(2, -1))};
  const Value text = make_text(to_text(sandbox, self));
  return find_method(text, "replace")(sandbox, text, {plain, {}});
}

Value format(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  if (!arguments.named.empty() && !arguments.positional.empty()) fail("format: either positional or named arguments, not both");
  Value values = make_list(arguments.positional, Form::tuple);
  if (!arguments.named.empty()) {
    DictBuilder dict(sandbox);
    for (const Named& named : arguments.named) dict.set(make_text(named.name), named.value);
    values = dict.done();
  }
  return percent_format(sandbox, soft(sandbox, self), values);
}

Value indent(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("indent", arguments, {"width", "first", "blank"});
  require_defined(self);
  if (!self.is(Kind::text)) fail("indent: expected a text, found ", type_name(self));
  std::string indentation;
  if (p.has(0) && p[0]->is(Kind::text)) {
    indentation = p[0]->text();
  } else {
    const std::int64_t width = std::max<std::int64_t>(p.whole(0, 4), 0);
    sandbox.check(static_cast<std::size_t>(width));
    indentation.assign(static_cast<std::size_t>(width), ' ');
  }
  sandbox.spend_on_characters(self.size);
  const std::string all = std::string(self.text()) + '\n';
  const std::vector<std::string_view> lines = split_lines(all, false);
  std::string out = p.flag(1, false) ? indentation : std::string();
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) {
      out += '\n';
      if (p.flag(2, false) || !lines[i].empty()) out += indentation;
    }
    out += lines[i];
    sandbox.check(out.size());
  }
  return make_like(self, sandbox.keep(out));
}

Value center(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("center", arguments, {"width"});
  const Value width = make_int(p.whole(0, 80)), text = soft(sandbox, self);
  return find_method(text, "center")(sandbox, text, {{&width, 1}, {}});
}

Value truncate(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("truncate", arguments, {"length", "killwords", "end", "leeway"});
  require_defined(self);
  if (!self.is(Kind::text)) fail("truncate: expected a text, found ", type_name(self));
  const std::string_view end = p[2] ? p.text(2) : "...";
  const std::int64_t length = p.whole(0, 255), leeway = p.whole(3, 5), tail = static_cast<std::int64_t>(code_points(end));
  if (length < tail || leeway < 0) fail("truncate: the length is below that of the end, or the leeway is negative");
  sandbox.spend_on(self.size);
  if (static_cast<std::int64_t>(code_points(self.text())) - leeway <= length) return self;
  std::string_view kept = self.text().substr(0, byte_offset(self.text(), static_cast<std::size_t>(length - tail)));
  if (!p.flag(1, false)) kept = kept.substr(0, std::min(kept.rfind(' '), kept.size()));
  return arithmetic(sandbox, Op::add, make_like(self, kept), make_text(end));
}

Value word_count(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters none("wordcount", arguments, {});
  std::int64_t words = 0;
  bool inside = false;
  const std::string_view text = to_text(sandbox, self);
  sandbox.spend_on_characters(text.size());
  for (std::string_view rest = text; !rest.empty();) {
    const char32_t c = text::take(rest);
    const bool word = c == '_' || is_word(c);
    words += word && !inside;
    inside = word;
  }
  return make_int(words);
}

/// json.dumps, as HuggingFace transformers calls it.
Value to_json(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ascii = p.flag(0, false);
  style.sort_keys = p.flag(3, false);
  style.indented = p.has(1);
  std::string spaces;
  if (style.indented) {
    style.item_separator = ",";
    if (p[1]->is(Kind::text)) {
      style.indent = p[1]->text();
    } else {
      const std::int64_t width = std::max<std::int64_t>(p.whole(1, 0), 0);
      sandbox.check(static_cast<std::size_t>(width));
      style.indent = spaces.assign(static_cast<std::size_t>(width), ' ');
    }
  }
  if (p.has(2)) {
    const auto separators = all_items(sandbox, *p[2]);
    if (separators.size() != 2 || !separators[0].is(Kind::text) || !separators[1].is(Kind::text)) {
      fail("tojson: separators must be two texts: (',', ':')");
    }
    style.item_separator = separators[0].text();
    style.key_separator = separators[1].text();
  }
  std::string out;
  append_json(sandbox, out, self, style);
  return keep_text(sandbox, out);
}

constexpr std::array<NativeEntry, 17> table = {{{"tojson", to_json},
                                                {"trim", trim},
                                                {"string", string},
                                                {"safe", safe},
                                                {"upper", converted<upper>},
                                                {"lower", converted<lower>},
                                                {"capitalize", converted<capitalize>},
                                                {"title", converted<title_words>},
                                                {"replace", replace},
                                                {"indent", indent},
                                                {"format", format},
                                                {"escape", escape},
                                                {"e", escape},
                                                {"forceescape", force_escape},
                                                {"center", center},
                                                {"truncate", truncate},
                                                {"wordcount", word_count}}};

}  // namespace

std::span<const NativeEntry> text_filters() { return table; }

}  // namespace atom::engine::jinja
