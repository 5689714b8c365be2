#pragma once
// Lexer: a template's source as tokens, with white space around tags already removed: trim_blocks (a newline after a tag goes),
// lstrip_blocks (so does the indentation before one), and the signs - and + at the ends of tags.
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "value.hpp"

namespace atom::engine::jinja {

struct Token {
  enum class Type : unsigned char { data, print_begin, print_end, tag_begin, tag_end, name, text, number, sign, end };
  Type type;
  std::uint32_t line;
  std::string_view text;  // data, a name, a text without its quotes, or the sign itself
  Value number = {};
};

/// A mistake in the source.
struct SyntaxError {
  std::uint32_t line;
  std::string what;
};

/// The tokens of `source`, the last of type end. Views are into `source` or into texts added to `texts`. `source` is valid
/// UTF-8 with \n for newlines. Throws SyntaxError.
std::vector<Token> tokenize(std::string_view source, std::deque<std::string>& texts);

}  // namespace atom::engine::jinja
