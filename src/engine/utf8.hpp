#pragma once
// UTF-8 as it arrives: whole characters, ill-formed bytes, and characters cut off by the end of a buffer.
// One idea: front() classifies one sequence the way Unicode recommends (a U+FFFD stands for one maximal subpart), and everything
// that reads doubtful bytes, whole or in pieces, is a loop over it.
#include <cstddef>
#include <string>
#include <string_view>

namespace atom::engine::text {

inline constexpr std::string_view replacement_character = "\xef\xbf\xbd";

struct Sequence {
  enum class Kind : unsigned char { character, ill_formed, cut_off };
  Kind kind;
  unsigned char bytes;  // how many it covers; cut_off: all that are left
  char32_t scalar;      // of a character
};

/// Classifies what `bytes` (not empty) begins with.
Sequence front(std::string_view bytes);

/// Appends the characters of `bytes`, a U+FFFD for each ill-formed sequence; stops before a character that is cut off.
/// Returns how many bytes it has used: all but at most 3.
std::size_t append_complete(std::string& out, std::string_view bytes);

/// How many bytes at the beginning are ASCII.
std::size_t ascii_prefix(std::string_view bytes);
bool is_valid(std::string_view bytes);
/// `bytes` with a U+FFFD for each ill-formed sequence.
std::string repaired(std::string_view bytes);

/// Removes the first character from valid, non-empty `text` and returns it.
char32_t take(std::string_view& text);
void append(std::string& out, char32_t scalar);
/// Where the last character of valid, non-empty `text` begins.
std::size_t last_begin(std::string_view text);

/// Unicode property White_Space.
bool is_space(char32_t scalar);

}  // namespace atom::engine::text
