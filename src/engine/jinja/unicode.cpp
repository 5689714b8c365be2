#include "unicode.hpp"

#include <algorithm>
#include <utf8proc.h>

#include "../utf8.hpp"

namespace atom::engine::jinja {
namespace {

namespace utf8 = text;

struct Expansion {
  char32_t from;
  char32_t to[3];
};

// Characters whose upper case is more than one character (Unicode's SpecialCasing). Of the Greek letters with iota subscript,
// U+1F80 to U+1FAF, the upper case is the capital without the iota and U+0399.
constexpr Expansion upper_expansions[] = {
    {0x00df, {'S', 'S'}},
    {0x0149, {0x02bc, 'N'}},
    {0x01f0, {'J', 0x030c}},
    {0x0390, {0x0399, 0x308, 0x301}},
    {0x03b0, {0x03a5, 0x308, 0x301}},
    {0x0587, {0x0535, 0x0552}},
    {0x1e96, {'H', 0x331}},
    {0x1e97, {'T', 0x308}},
    {0x1e98, {'W', 0x30a}},
    {0x1e99, {'Y', 0x30a}},
    {0x1e9a, {'A', 0x2be}},
    {0x1f50, {0x03a5, 0x313}},
    {0x1f52, {0x03a5, 0x313, 0x300}},
    {0x1f54, {0x03a5, 0x313, 0x301}},
    {0x1f56, {0x03a5, 0x313, 0x342}},
    {0x1fb2, {0x1fba, 0x399}},
    {0x1fb3, {0x0391, 0x399}},
    {0x1fb4, {0x0386, 0x399}},
    {0x1fb6, {0x0391, 0x342}},
    {0x1fb7, {0x0391, 0x342, 0x399}},
    {0x1fbc, {0x0391, 0x399}},
    {0x1fc2, {0x1fca, 0x399}},
    {0x1fc3, {0x0397, 0x399}},
    {0x1fc4, {0x0389, 0x399}},
    {0x1fc6, {0x0397, 0x342}},
    {0x1fc7, {0x0397, 0x342, 0x399}},
    {0x1fcc, {0x0397, 0x399}},
    {0x1fd2, {0x0399, 0x308, 0x300}},
    {0x1fd3, {0x0399, 0x308, 0x301}},
    {0x1fd6, {0x0399, 0x342}},
    {0x1fd7, {0x0399, 0x308, 0x342}},
    {0x1fe2, {0x03a5, 0x308, 0x300}},
    {0x1fe3, {0x03a5, 0x308, 0x301}},
    {0x1fe4, {0x03a1, 0x313}},
    {0x1fe6, {0x03a5, 0x342}},
    {0x1fe7, {0x03a5, 0x308, 0x342}},
    {0x1ff2, {0x1ffa, 0x399}},
    {0x1ff3, {0x03a9, 0x399}},
    {0x1ff4, {0x038f, 0x399}},
    {0x1ff6, {0x03a9, 0x342}},
    {0x1ff7, {0x03a9, 0x342, 0x399}},
    {0x1ffc, {0x03a9, 0x399}},
    {0xfb00, {'F', 'F'}},
    {0xfb01, {'F', 'I'}},
    {0xfb02, {'F', 'L'}},
    {0xfb03, {'F', 'F', 'I'}},
    {0xfb04, {'F', 'F', 'L'}},
    {0xfb05, {'S', 'T'}},
    {0xfb06, {'S', 'T'}},
    {0xfb13, {0x0544, 0x0546}},
    {0xfb14, {0x0544, 0x0535}},
    {0xfb15, {0x0544, 0x053b}},
    {0xfb16, {0x054e, 0x0546}},
    {0xfb17, {0x0544, 0x053d}},
};

utf8proc_category_t category(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }
char32_t to_lower(char32_t c) { return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))); }
char32_t to_upper(char32_t c) { return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))); }
char32_t to_title(char32_t c) { return static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))); }
bool is_capital(char32_t c) {
  const auto k = category(c);
  return k == UTF8PROC_CATEGORY_LU || (k != UTF8PROC_CATEGORY_LT && to_lower(c) != c);
}
bool is_small(char32_t c) {
  const auto k = category(c);
  return k == UTF8PROC_CATEGORY_LL || (k != UTF8PROC_CATEGORY_LT && to_upper(c) != c);
}
bool is_cased(char32_t c) { return is_capital(c) || is_small(c) || category(c) == UTF8PROC_CATEGORY_LT; }
/// Characters that a final sigma does not see: combining marks, apostrophes and the like.
bool is_case_ignorable(char32_t c) {
  const auto k = category(c);
  return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_ME || k == UTF8PROC_CATEGORY_CF || k == UTF8PROC_CATEGORY_LM ||
         k == UTF8PROC_CATEGORY_SK || c == '\'' || c == '.' || c == ':' || c == 0xb7 || c == 0x2019;
}

void append_upper(std::string& out, char32_t c) {
  if (c < 0x80) return utf8::append(out, c >= 'a' && c <= 'z' ? c - 32 : c);
  if (c >= 0x1f80 && c <= 0x1faf) {  // eight small, eight capital letters with iota, three times
    constexpr char32_t bases[] = {0x1f08, 0x1f28, 0x1f68};
    utf8::append(out, bases[(c - 0x1f80) / 16] + (c & 7));
    return utf8::append(out, 0x399);
  }
  const auto* found = std::lower_bound(std::begin(upper_expansions), std::end(upper_expansions), c,
                                       [](const Expansion& e, char32_t x) { return e.from < x; });
  if (found == std::end(upper_expansions) || found->from != c) return utf8::append(out, to_upper(c));
  for (const char32_t to : found->to) {
    if (to) utf8::append(out, to);
  }
}

/// `before` and `after`: the text around the character; a sigma at the end of a word has a form of its own.
void append_lower(std::string& out, char32_t c, std::string_view before, std::string_view after) {
  if (c < 0x80) return utf8::append(out, c >= 'A' && c <= 'Z' ? c + 32 : c);
  if (c == 0x130) {
    out += "i\xcc\x87";
    return;
  }
  if (c != 0x3a3) return utf8::append(out, to_lower(c));
  char32_t neighbour = 0;
  while (!before.empty()) {
    std::string_view last = before.substr(utf8::last_begin(before));
    before.remove_suffix(last.size());
    if (neighbour = utf8::take(last); !is_case_ignorable(neighbour)) break;
    neighbour = 0;
  }
  bool is_final = neighbour != 0 && is_cased(neighbour);
  while (is_final && !after.empty()) {
    const char32_t next = utf8::take(after);
    if (is_case_ignorable(next)) continue;
    is_final = !is_cased(next);
    break;
  }
  utf8::append(out, is_final ? 0x3c2 : 0x3c3);
}

/// Title case of a character: of an expansion, the first letter stays a capital.
void append_title(std::string& out, char32_t c) {
  std::string capitals;
  append_upper(capitals, c);
  if (c < 0x80 || code_points(capitals) == 1) return utf8::append(out, to_title(c));
  if (c >= 0x1f80 && c <= 0x1ffc && (category(c) == UTF8PROC_CATEGORY_LT || to_title(c) != c))
    return utf8::append(out, to_title(c));
  std::string_view rest = capitals;
  utf8::append(out, utf8::take(rest));
  while (!rest.empty()) append_lower(out, utf8::take(rest), {}, {});
}

template <class Each> std::string mapped(std::string_view text, Each each) {
  std::string out;
  out.reserve(text.size() + 8);
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view before = text.substr(0, text.size() - rest.size());
    const char32_t c = utf8::take(rest);
    each(out, c, before, rest);
  }
  return out;
}

std::string ascii_mapped(std::string_view text, char low, char high, int shift) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(c >= low && c <= high ? c + shift : c);
  return out;
}

/// Whether the text has cased characters, and `right` holds for all of them.
bool has_case(std::string_view text, bool (*right)(char32_t)) {
  bool found = false;
  while (!text.empty()) {
    const char32_t c = utf8::take(text);
    if (!is_cased(c)) continue;
    if (!right(c)) return false;
    found = true;
  }
  return found;
}

}  // namespace

std::size_t code_points(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::size_t first_character(std::string_view text) { return utf8::front(text).bytes; }

std::size_t byte_offset(std::string_view text, std::size_t index) {
  constexpr std::size_t block = 64;
  std::size_t at = 0;
  for (; at + block <= text.size(); at += block) {
    const std::size_t begun = code_points(text.substr(at, block));
    if (begun > index) break;
    index -= begun;
  }
  const auto continues = [](char c) { return (c & 0xc0) == 0x80; };
  for (; at < text.size(); ++at) {
    if (!continues(text[at]) && index-- == 0) break;
  }
  return at;
}

bool is_space(char32_t c) { return utf8::is_space(c) || (c >= 0x1c && c <= 0x1f); }

bool is_letter(char32_t c) {
  const auto k = category(c);
  return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

bool is_digit(char32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }

bool is_word(char32_t c) {
  const auto k = category(c);
  return is_letter(c) || (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO);
}

bool is_printable(char32_t c) {
  if (c < 0x7f) return c >= ' ';
  const auto k = category(c);
  return k < UTF8PROC_CATEGORY_ZS && k != UTF8PROC_CATEGORY_CN;
}

bool is_identifier(std::string_view name) {
  bool first = true;
  while (!name.empty()) {
    const char32_t c = utf8::take(name);
    const auto k = category(c);
    const bool mark =
        k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_MC || k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_PC;
    if (c != '_' && !is_letter(c) && k != UTF8PROC_CATEGORY_NL && (first || !mark)) return false;
    first = false;
  }
  return !first;
}

bool is_upper(std::string_view text) { return has_case(text, is_capital); }
bool is_lower(std::string_view text) { return has_case(text, is_small); }

bool all_of(std::string_view text, bool (*predicate)(char32_t)) {
  if (text.empty()) return false;
  while (!text.empty()) {
    if (!predicate(utf8::take(text))) return false;
  }
  return true;
}

std::string upper(std::string_view text) {
  if (utf8::ascii_prefix(text) == text.size()) return ascii_mapped(text, 'a', 'z', -32);
  return mapped(text, [](std::string& out, char32_t c, std::string_view, std::string_view) { append_upper(out, c); });
}

std::string lower(std::string_view text) {
  if (utf8::ascii_prefix(text) == text.size()) return ascii_mapped(text, 'A', 'Z', 32);
  return mapped(text, append_lower);
}

std::string title(std::string_view text) {
  bool inside = false;  // a word
  return mapped(text, [&](std::string& out, char32_t c, std::string_view before, std::string_view after) {
    if (inside) {
      append_lower(out, c, before, after);
    } else {
      append_title(out, c);
    }
    inside = is_cased(c);
  });
}

std::string capitalize(std::string_view text) {
  return mapped(text, [](std::string& out, char32_t c, std::string_view before, std::string_view after) {
    if (before.empty()) {
      append_title(out, c);
    } else {
      append_lower(out, c, before, after);
    }
  });
}

std::string swapcase(std::string_view text) {
  return mapped(text, [](std::string& out, char32_t c, std::string_view before, std::string_view after) {
    if (is_capital(c)) {
      append_lower(out, c, before, after);
    } else if (is_small(c)) {
      append_upper(out, c);
    } else {
      utf8::append(out, c);
    }
  });
}

std::string_view strip(std::string_view text, bool left, bool right, const std::string_view* chars) {
  std::u32string set;
  if (chars) {
    for (std::string_view rest = *chars; !rest.empty();) set += utf8::take(rest);
  }
  const auto goes = [&](char32_t c) { return chars ? set.find(c) != set.npos : is_space(c); };
  while (left && !text.empty()) {
    std::string_view rest = text;
    if (!goes(utf8::take(rest))) break;
    text = rest;
  }
  while (right && !text.empty()) {
    std::string_view last = text.substr(utf8::last_begin(text));
    const std::size_t bytes = last.size();
    if (!goes(utf8::take(last))) break;
    text.remove_suffix(bytes);
  }
  return text;
}

std::vector<std::string_view> split(std::string_view text, const std::string_view* separator, long most, bool from_end) {
  std::vector<std::string_view> pieces;
  const auto last = [&] { return most >= 0 && static_cast<long>(pieces.size()) >= most; };
  const auto space_from = [](std::string_view s) {  // bytes before the first white space
    std::string_view rest = s;
    while (!rest.empty()) {
      const std::size_t at = s.size() - rest.size();
      if (is_space(utf8::take(rest))) return at;
    }
    return s.size();
  };
  const auto space_until = [](std::string_view s) {  // bytes up to and with the last white space
    for (std::size_t end = s.size(); end > 0;) {
      const std::size_t begin = utf8::last_begin(s.substr(0, end));
      std::string_view last_one = s.substr(begin, end - begin);
      if (is_space(utf8::take(last_one))) return end;
      end = begin;
    }
    return std::size_t{0};
  };
  if (!separator && !from_end) {
    for (text = strip(text, true, false); !text.empty(); text = strip(text, true, false)) {
      const std::size_t end = last() ? text.size() : space_from(text);
      pieces.push_back(text.substr(0, end));
      text.remove_prefix(end);
    }
  } else if (!separator) {
    for (text = strip(text, false, true); !text.empty(); text = strip(text, false, true)) {
      const std::size_t begin = last() ? 0 : space_until(text);
      pieces.push_back(text.substr(begin));
      text.remove_suffix(text.size() - begin);
    }
  } else {
    while (!last()) {
      const std::size_t at = from_end ? text.rfind(*separator) : text.find(*separator);
      if (at == text.npos) break;
      pieces.push_back(from_end ? text.substr(at + separator->size()) : text.substr(0, at));
      text = from_end ? text.substr(0, at) : text.substr(at + separator->size());
    }
    pieces.push_back(text);
  }
  if (from_end) std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  const auto ends_line = [](char32_t c) {
    return (c >= '\n' && c <= '\r') || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
  };
  std::vector<std::string_view> lines;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest;
    std::size_t length = 0, with_end = 0;
    for (bool ended = false; !ended && !rest.empty();) {
      length = line.size() - rest.size();
      const char32_t c = utf8::take(rest);
      ended = ends_line(c);
      if (c == '\r' && rest.starts_with('\n')) rest.remove_prefix(1);
      with_end = line.size() - rest.size();
      if (!ended) length = with_end;
    }
    lines.push_back(line.substr(0, keep_ends ? with_end : length));
  }
  return lines;
}

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '\'': out += "&#39;"; break;
      case '"': out += "&#34;"; break;
      default: out += c;
    }
  }
  return out;
}

}  // namespace atom::engine::jinja
