#include "lexer.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "../utf8.hpp"
#include "real.hpp"
#include "unicode.hpp"

namespace atom::engine::jinja {
namespace {

namespace utf8 = text;
using Type = Token::Type;

bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  Lexer(std::string_view source, std::deque<std::string>& texts) : source_(source), texts_(texts) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) data();
    add(Type::end, {});
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void refuse(std::string what) const { throw SyntaxError{line_, std::move(what)}; }
  [[nodiscard]] bool looking_at(std::string_view s) const { return source_.substr(at_).starts_with(s); }
  [[nodiscard]] char peek(std::size_t ahead = 0) const { return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0'; }
  void add(Type type, std::string_view text) { tokens_.push_back({type, line_, text}); }
  std::string_view advance(std::size_t bytes) {
    const std::string_view passed = source_.substr(at_, bytes);
    line_ += static_cast<std::uint32_t>(std::count(passed.begin(), passed.end(), '\n'));
    at_ += passed.size();
    if (!passed.empty()) line_starts_ = passed.back() == '\n';
    return passed;
  }
  void skip_space() { advance(source_.size() - at_ - strip(source_.substr(at_), true, false).size()); }

  /// Text up to the next tag, and that tag.
  void data() {
    std::size_t open = at_;
    constexpr std::string_view kinds = "%{#";
    for (;; ++open) {
      open = source_.find('{', open);
      if (open == source_.npos) return add(Type::data, advance(source_.size() - at_));
      if (open + 1 < source_.size() && kinds.find(source_[open + 1]) != kinds.npos) break;
    }
    const char kind = source_[open + 1];
    const char sign = open + 2 < source_.size() && (source_[open + 2] == '-' || source_[open + 2] == '+') ? source_[open + 2] : ' ';
    text_before(open, sign, kind != '{');
    advance(sign == ' ' ? 2 : 3);
    if (kind == '#') return comment();
    if (kind == '%' && raw()) return;
    add(kind == '{' ? Type::print_begin : Type::tag_begin, {});
    inside(kind == '{');
  }

  /// The text from here to `end`, as much as the sign of the tag after it leaves.
  void text_before(std::size_t end, char sign, bool strip_indentation) {
    std::string_view text = source_.substr(at_, end - at_);
    if (sign == '-') {
      text = strip(text, false, true);
    } else if (sign != '+' && strip_indentation) {
      const std::size_t newline = text.rfind('\n');
      const std::size_t start = newline == text.npos ? 0 : newline + 1;
      if ((start > 0 || line_starts_) && strip(text.substr(start), true, false).empty()) text = text.substr(0, start);
    }
    if (!text.empty()) add(Type::data, text);
    advance(end - at_);
  }

  /// Passes the end of a tag or comment, with what white space it takes along; false if this is none.
  bool close(std::string_view mark, bool trims) {
    const bool minus = peek() == '-', plus = trims && peek() == '+';
    if (!source_.substr(std::min(at_ + (minus || plus), source_.size())).starts_with(mark)) return false;
    advance(mark.size() + (minus || plus));
    if (minus) {
      skip_space();
    } else if (!plus && trims && peek() == '\n') {
      advance(1);
    }
    return true;
  }

  void comment() {
    const std::uint32_t begin = line_;
    std::size_t end = source_.find("#}", at_);
    if (end == source_.npos) throw SyntaxError{begin, "a comment that is never closed: #} is missing"};
    if (end > at_ && (source_[end - 1] == '-' || source_[end - 1] == '+')) --end;
    advance(end - at_);
    close("#}", true);
  }

  /// {% raw %}...{% endraw %}; false if this is another tag.
  bool raw() {
    const std::uint32_t line = line_;
    std::string_view rest = strip(source_.substr(at_), true, false);
    if (!rest.starts_with("raw")) return false;
    rest = strip(rest.substr(3), true, false);
    const bool minus = rest.starts_with('-');
    if (!rest.substr(minus).starts_with("%}")) return false;
    advance(source_.size() - at_ - rest.size() + 2 + minus);
    if (minus) skip_space();
    for (std::size_t open = source_.find("{%", at_); open != source_.npos; open = source_.find("{%", open + 2)) {
      const char after = open + 2 < source_.size() ? source_[open + 2] : ' ';
      const char sign = after == '-' || after == '+' ? after : ' ';
      std::string_view tag = strip(source_.substr(open + (sign == ' ' ? 2 : 3)), true, false);
      if (!tag.starts_with("endraw")) continue;
      tag = strip(tag.substr(6), true, false);
      if (!tag.starts_with("%}") && !tag.starts_with("-%}") && !tag.starts_with("+%}")) continue;
      text_before(open, sign, true);
      advance(source_.size() - at_ - tag.size());
      return close("%}", true);
    }
    throw SyntaxError{line, "{% raw %} without {% endraw %}"};
  }

  /// The tokens of a tag, to its end.
  void inside(bool print) {
    const std::uint32_t begin = line_;
    std::string open;  // brackets: within them, }} and %} are no end
    while (at_ < source_.size()) {
      if (open.empty()) {
        const std::uint32_t line = line_;
        if (close(print ? "}}" : "%}", !print)) {
          tokens_.push_back({print ? Type::print_end : Type::tag_end, line, {}});
          return;
        }
      }
      std::string_view rest = source_.substr(at_);
      const char32_t c = utf8::take(rest);
      if (is_space(c)) {
        skip_space();
      } else if (c < 0x80 && is_ascii_digit(peek())) {
        number();
      } else if (c == '\'' || c == '"') {
        quoted();
      } else if (c == '_' || is_word(c)) {
        name();
      } else {
        sign(open);
      }
    }
    throw SyntaxError{begin, print ? "{{ without }}" : "{% without %}"};
  }

  void name() {
    std::string_view rest = source_.substr(at_), after = rest;
    while (!rest.empty()) {
      const char32_t c = utf8::take(rest);
      if (c != '_' && !is_word(c) &&
          (c < 0x80 || is_space(c) || !is_identifier("a" + std::string(after.substr(0, after.size() - rest.size())))))
        break;
      after = rest;
    }
    const std::string_view text = source_.substr(at_, source_.size() - at_ - after.size());
    if (!is_identifier(text)) refuse("\"" + std::string(text) + "\" is no name");
    add(Type::name, text);
    advance(text.size());
  }

  void sign(std::string& open) {
    constexpr std::array<std::string_view, 26> signs = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                                        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    const auto* found = std::find_if(signs.begin(), signs.end(), [&](std::string_view s) { return looking_at(s); });
    if (found == signs.end()) {
      const std::string_view rest = source_.substr(at_);
      refuse("unexpected character \"" + std::string(rest.substr(0, first_character(rest))) + "\"");
    }
    const char c = found->front();
    if (c == '(' || c == '[' || c == '{') open += c == '(' ? ')' : c == '[' ? ']' : '}';
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty()) refuse(std::string("unexpected ") + c);
      if (open.back() != c) refuse(std::string("unexpected ") + c + ", expected " + open.back());
      open.pop_back();
    }
    add(Type::sign, *found);
    advance(found->size());
  }

  /// Digits with single underscores between them; bytes of them at `from`.
  [[nodiscard]] std::size_t digits(std::size_t from, std::string_view allowed) const {
    std::size_t end = from;
    const auto is_one = [&](std::size_t i) { return i < source_.size() && allowed.find(source_[i]) != allowed.npos; };
    while (is_one(end) || (end > from && end < source_.size() && source_[end] == '_' && is_one(end + 1))) ++end;
    return end - from;
  }

  void number() {
    constexpr std::string_view decimal = "0123456789";
    std::size_t whole = digits(at_, decimal), length = whole;
    bool real = false;
    if (at_ == 0 || source_[at_ - 1] != '.') {  // x.0.1 is no x.(0.1)
      if (peek(length) == '.' && is_ascii_digit(peek(length + 1))) {
        real = true;
        length += 1 + digits(at_ + length + 1, decimal);
      }
      if ((peek(length) | 32) == 'e') {
        const std::size_t sign = peek(length + 1) == '+' || peek(length + 1) == '-';
        if (is_ascii_digit(peek(length + 1 + sign))) {
          real = true;
          length += 1 + sign + digits(at_ + length + 1 + sign, decimal);
        }
      }
    }
    int base = 10;
    if (!real && peek() == '0') {
      const char letter = static_cast<char>(peek(1) | 32);
      base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
      constexpr std::string_view hexadecimal = "0123456789abcdefABCDEF";
      const std::size_t after =
          base == 10 ? 0 : digits(at_ + 2, base == 16 ? hexadecimal : decimal.substr(0, static_cast<std::size_t>(base)));
      if (after == 0) base = 10;
      length = base == 10 ? digits(at_, "0") : 2 + after;
    }
    std::string text(source_.substr(at_, length));
    std::erase(text, '_');
    const char *first = text.data() + (base == 10 ? 0 : 2), *last = text.data() + text.size();
    Token token{Type::number, line_, source_.substr(at_, length)};
    if (real) {
      token.number = make_real(parse_real(text));
    } else {
      std::int64_t value = 0;
      if (std::from_chars(first, last, value, base).ec != std::errc()) refuse("the number " + text + " does not fit in 64 bits");
      token.number = make_int(value);
    }
    tokens_.push_back(token);
    advance(length);
  }

  void quoted() {
    const char quote = peek();
    std::size_t end = at_ + 1;
    bool escapes = false;
    while (end < source_.size() && source_[end] != quote) {
      escapes |= source_[end] == '\\';
      end += source_[end] == '\\' ? 2 : 1;
    }
    if (end >= source_.size()) refuse("a text that is never closed");
    const std::string_view text = source_.substr(at_ + 1, end - at_ - 1);
    add(Type::text, escapes ? unescaped(text) : text);
    advance(end + 1 - at_);
  }

  std::string_view unescaped(std::string_view text) {
    constexpr std::string_view letters = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v";  // pairs: the letter, its meaning
    std::string out;
    const auto code = [&](std::size_t most, int base) {
      std::uint32_t value = 0;
      const char* begin = text.data();
      const auto [end, error] = std::from_chars(begin, begin + std::min(most, text.size()), value, base);
      if (error != std::errc() || (base == 16 && end != begin + most)) refuse("a text with a broken \\x, \\u or \\U escape");
      if (value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) refuse("a text with an escape that is no character");
      text.remove_prefix(static_cast<std::size_t>(end - begin));
      utf8::append(out, value);
    };
    while (!text.empty()) {
      const std::size_t plain = std::min(text.find('\\'), text.size());
      out += text.substr(0, plain);
      text.remove_prefix(plain);
      if (text.empty()) break;
      const char c = text[1];
      if (c >= '0' && c <= '7') {
        text.remove_prefix(1);
        code(3, 8);
        continue;
      }
      text.remove_prefix(2);
      std::size_t pair = 0;
      while (pair < letters.size() && letters[pair] != c) pair += 2;
      if (pair < letters.size()) {
        out += letters[pair + 1];
      } else if (c == 'x') {
        code(2, 16);
      } else if (c == 'u') {
        code(4, 16);
      } else if (c == 'U') {
        code(8, 16);
      } else if (c == 'N') {
        refuse("a text with a \\N{...} escape, which is not supported; write the character itself");
      } else if (c != '\n') {  // a newline is passed over, an unknown escape stays as it is
        out += '\\';
        out += c;
      }
    }
    return texts_.emplace_back(std::move(out));
  }

  std::string_view source_;
  std::deque<std::string>& texts_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::uint32_t line_ = 1;
  bool line_starts_ = true;  // what was passed last ended with a newline
};

}  // namespace

std::vector<Token> tokenize(std::string_view source, std::deque<std::string>& texts) { return Lexer(source, texts).run(); }

}  // namespace atom::engine::jinja
