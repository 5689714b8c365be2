// Methods of texts: Python's str.
#include <algorithm>
#include <array>

#include "format.hpp"
#include "natives.hpp"
#include "print.hpp"
#include "unicode.hpp"

namespace atom::engine::jinja {
namespace {

using Convert = std::string (*)(std::string_view);
using Check = bool (*)(std::string_view);

template <Convert convert> Value converted(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters none("method", arguments, {});
  sandbox.spend_on_characters(2 * self.size);
  return make_like(self, sandbox.keep(convert(self.text())));
}

template <Check check> Value checked(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters none("method", arguments, {});
  sandbox.spend_on_characters(self.size);
  return make_bool(check(self.text()));
}
template <bool (*predicate)(char32_t)> bool all(std::string_view text) { return all_of(text, predicate); }
bool is_ascii(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
}

template <bool left, bool right> Value stripped(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("strip", arguments, {"chars"});
  const std::string_view chars = p.text(0);
  const std::string_view rest = strip(self.text(), left, right, p.has(0) ? &chars : nullptr);
  sandbox.spend(1 + (self.size - rest.size()) * (1 + chars.size() / 8));
  return make_like(self, rest);
}

Value list_of(Sandbox& sandbox, const Value& like, const std::vector<std::string_view>& pieces) {
  Value* items = sandbox.array<Value>(pieces.size());
  std::transform(pieces.begin(), pieces.end(), items, [&](std::string_view s) { return make_like(like, s); });
  return make_list({items, pieces.size()});
}

template <bool from_end> Value split_at(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("split", arguments, {"sep", "maxsplit"});
  const std::string_view separator = p.text(0);
  if (p.has(0) && separator.empty()) fail("split: empty separator");
  p.has(0) ? sandbox.spend_on_search(self.size, separator.size()) : sandbox.spend_on_characters(self.size);
  sandbox.check(self.size * sizeof(std::string_view));
  return list_of(sandbox, self, split(self.text(), p.has(0) ? &separator : nullptr, static_cast<long>(p.whole(1, -1)), from_end));
}

Value lines(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("splitlines", arguments, {"keepends"});
  sandbox.spend_on_characters(self.size);
  sandbox.check(self.size * sizeof(std::string_view));
  return list_of(sandbox, self, split_lines(self.text(), p.flag(0, false)));
}

/// The part of a text that parameters `start` and `end` leave, and where it begins; false if start is beyond the end.
struct Range {
  std::string_view text;
  std::int64_t begin;
};
Range range_of(Sandbox& sandbox, const Value& self, const Parameters& p) {
  if (!p.has(1) && !p.has(2)) return {self.text(), 0};
  sandbox.spend_on(self.size);
  const auto n = static_cast<std::int64_t>(code_points(self.text()));
  const auto clamp = [&](std::int64_t i) { return std::clamp<std::int64_t>(i < 0 ? i + n : i, 0, n); };
  const std::int64_t begin = clamp(p.whole(1, 0)), end = std::max(begin, clamp(p.whole(2, n)));
  const std::string_view rest = self.text().substr(byte_offset(self.text(), static_cast<std::size_t>(begin)));
  return {rest.substr(0, byte_offset(rest, static_cast<std::size_t>(end - begin))), begin};
}

template <bool at_end> Value affix(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p(at_end ? "endswith" : "startswith", arguments, {"prefix", "start", "end"}, 1);
  const std::string_view text = range_of(sandbox, self, p).text;
  const auto matches = [&](const Value& v) {
    if (!v.is(Kind::text)) fail(at_end ? "endswith" : "startswith", " expects a text or a tuple of texts, not ", type_name(v));
    sandbox.spend_on(v.size);
    return at_end ? text.ends_with(v.text()) : text.starts_with(v.text());
  };
  if (!p[0]->is(Kind::list) || p[0]->form != Form::tuple) return make_bool(matches(*p[0]));
  const auto choices = p[0]->list();
  return make_bool(std::any_of(choices.begin(), choices.end(), matches));
}

template <bool from_end, bool must> Value found(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("find", arguments, {"sub", "start", "end"}, 1);
  const Range range = range_of(sandbox, self, p);
  const std::string_view wanted = p.text(0);
  sandbox.spend_on_search(range.text.size(), wanted.size());
  const std::size_t at = from_end ? range.text.rfind(wanted) : range.text.find(wanted);
  if (at != range.text.npos) return make_int(range.begin + static_cast<std::int64_t>(code_points(range.text.substr(0, at))));
  if (must) fail("substring not found");
  return make_int(-1);
}

Value count(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("count", arguments, {"sub", "start", "end"}, 1);
  std::string_view text = range_of(sandbox, self, p).text;
  const std::string_view wanted = p.text(0);
  sandbox.spend_on_search(text.size(), wanted.size());
  if (wanted.empty()) return make_int(static_cast<std::int64_t>(code_points(text)) + 1);
  std::int64_t n = 0;
  for (std::size_t at = text.find(wanted); at != text.npos; at = text.find(wanted, at + wanted.size())) ++n;
  return make_int(n);
}

Value replace(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("replace", arguments, {"old", "new", "count"}, 2);
  const std::string_view old = p.text(0);
  std::string with(p.text(1));
  if (self.is_markup() && !p[1]->is_markup()) with = escape_html(with);
  std::int64_t left = p.whole(2, -1);
  sandbox.spend_on_search(self.size, old.size());
  std::string out;
  const auto append = [&](std::string_view piece) {
    sandbox.check(out.size() + piece.size());
    out += piece;
  };
  for (std::string_view rest = self.text();; --left) {
    const std::size_t at = left == 0 ? rest.npos : rest.find(old);
    if (at == rest.npos) {
      append(rest);
      break;
    }
    append(rest.substr(0, at));
    append(with);
    sandbox.spend(1);
    rest.remove_prefix(at + old.size());
    if (!old.empty()) continue;
    if (rest.empty()) break;
    const std::size_t one = first_character(rest);  // an empty text stands between all characters
    append(rest.substr(0, one));
    rest.remove_prefix(one);
  }
  return make_like(self, sandbox.keep(out));
}

Value join(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("join", arguments, {"iterable"}, 1);
  std::string out;
  bool begun = false;
  for (const Value& v : all_items(sandbox, *p[0])) {
    if (!v.is(Kind::text)) fail("join: expected texts, found ", type_name(v));
    if (std::exchange(begun, true)) out += self.text();
    if (self.is_markup() && !v.is_markup()) {
      out += escape_html(v.text());
    } else {
      out += v.text();
    }
    sandbox.spend(1);
    sandbox.check(out.size());
  }
  return make_like(self, sandbox.keep(out));
}

enum class Side { left, right, both };
template <Side side> Value padded(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("ljust, rjust, center", arguments, {"width", "fillchar"}, 1);
  const std::string_view fill = p[1] ? p.text(1) : " ";
  if (code_points(fill) != 1) fail("the fill character must be exactly one character long");
  sandbox.spend_on(self.size);
  const auto length = static_cast<std::int64_t>(code_points(self.text()));
  const std::int64_t width = p.whole(0, 0), missing = std::max<std::int64_t>(width - length, 0);
  sandbox.check(static_cast<std::size_t>(missing));
  const std::int64_t half = missing / 2 + (missing & width & 1);
  const std::int64_t before = side == Side::left ? missing : side == Side::right ? 0 : half;
  std::string out;
  for (std::int64_t i = 0; i < before; ++i) out += fill;
  out += self.text();
  for (std::int64_t i = before; i < missing; ++i) out += fill;
  return make_like(self, sandbox.keep(out));
}

Value zero_filled(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("zfill", arguments, {"width"}, 1);
  const std::size_t sign = self.text().starts_with('-') || self.text().starts_with('+');
  const std::int64_t missing = std::max<std::int64_t>(p.whole(0, 0) - static_cast<std::int64_t>(code_points(self.text())), 0);
  sandbox.check(static_cast<std::size_t>(missing));
  std::string out(self.text());
  out.insert(sign, static_cast<std::size_t>(missing), '0');
  return make_like(self, sandbox.keep(out));
}

template <bool at_end> Value without(Sandbox&, const Value& self, const Arguments& arguments) {
  const Parameters p(at_end ? "removesuffix" : "removeprefix", arguments, {"affix"}, 1);
  std::string_view text = self.text();
  const std::string_view affix = p.text(0);
  if (at_end ? text.ends_with(affix) : text.starts_with(affix))
    text = text.substr(at_end ? 0 : affix.size(), text.size() - affix.size());
  return make_like(self, text);
}

template <bool from_end> Value partition(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("partition", arguments, {"sep"}, 1);
  const std::string_view text = self.text(), separator = p.text(0);
  if (separator.empty()) fail("partition: empty separator");
  sandbox.spend_on_search(text.size(), separator.size());
  const std::size_t at = from_end ? text.rfind(separator) : text.find(separator);
  std::string_view parts[3] = {from_end ? std::string_view() : text, {}, from_end ? text : std::string_view()};
  if (at != text.npos) {
    parts[0] = text.substr(0, at);
    parts[1] = separator;
    parts[2] = text.substr(at + separator.size());
  }
  const Value values[] = {make_like(self, parts[0]), make_like(self, parts[1]), make_like(self, parts[2])};
  return keep_list(sandbox, values, Form::tuple);
}

bool is_title(std::string_view text) { return title(text) == text && (upper(text) != text || lower(text) != text); }

Value unsupported(Sandbox&, const Value&, const Arguments&) {
  fail(
      "this method of str is not supported here (casefold, encode, expandtabs, format_map, isidentifier, isnumeric, isprintable, "
      "maketrans, translate)");
}

constexpr std::array<NativeEntry, 46> table = {{{"strip", stripped<true, true>},
                                                {"lstrip", stripped<true, false>},
                                                {"rstrip", stripped<false, true>},
                                                {"split", split_at<false>},
                                                {"rsplit", split_at<true>},
                                                {"splitlines", lines},
                                                {"startswith", affix<false>},
                                                {"endswith", affix<true>},
                                                {"replace", replace},
                                                {"upper", converted<upper>},
                                                {"lower", converted<lower>},
                                                {"title", converted<title>},
                                                {"capitalize", converted<capitalize>},
                                                {"swapcase", converted<swapcase>},
                                                {"find", found<false, false>},
                                                {"rfind", found<true, false>},
                                                {"index", found<false, true>},
                                                {"rindex", found<true, true>},
                                                {"count", count},
                                                {"join", join},
                                                {"format", brace_format},
                                                {"ljust", padded<Side::right>},
                                                {"rjust", padded<Side::left>},
                                                {"center", padded<Side::both>},
                                                {"zfill", zero_filled},
                                                {"removeprefix", without<false>},
                                                {"removesuffix", without<true>},
                                                {"partition", partition<false>},
                                                {"rpartition", partition<true>},
                                                {"isalpha", checked<all<is_letter>>},
                                                {"isalnum", checked<all<is_word>>},
                                                {"isdigit", checked<all<is_digit>>},
                                                {"isdecimal", checked<all<is_digit>>},
                                                {"isspace", checked<all<is_space>>},
                                                {"isupper", checked<is_upper>},
                                                {"islower", checked<is_lower>},
                                                {"istitle", checked<is_title>},
                                                {"isascii", checked<is_ascii>},
                                                {"casefold", unsupported},
                                                {"encode", unsupported},
                                                {"expandtabs", unsupported},
                                                {"format_map", unsupported},
                                                {"isnumeric", unsupported},
                                                {"isprintable", unsupported},
                                                {"isidentifier", unsupported},
                                                {"translate", unsupported}}};

}  // namespace

std::span<const NativeEntry> text_methods() { return table; }

}  // namespace atom::engine::jinja
