#pragma once
// Python's str, on UTF-8: what counts code points, knows white space or changes case. All texts are valid UTF-8.
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace atom::engine::jinja {

std::size_t code_points(std::string_view text);
/// Bytes of the first character of a text that is not empty.
std::size_t first_character(std::string_view text);
/// Where in bytes code point `index` begins; the size of the text if there are fewer.
std::size_t byte_offset(std::string_view text, std::size_t index);

bool is_space(char32_t c);
bool is_word(char32_t c);  ///< letters and digits
bool is_letter(char32_t c);
bool is_digit(char32_t c);      ///< decimal digits of any script
bool is_printable(char32_t c);  ///< repr shows it as it is
bool is_identifier(std::string_view name);
/// Whether the text has cased characters, and all of them are upper (or lower) case.
bool is_upper(std::string_view text);
bool is_lower(std::string_view text);
/// Whether the text is not empty and `predicate` holds for all of it.
bool all_of(std::string_view text, bool (*predicate)(char32_t));

std::string upper(std::string_view text);
std::string lower(std::string_view text);
std::string title(std::string_view text);       ///< str.title
std::string capitalize(std::string_view text);  ///< str.capitalize
std::string swapcase(std::string_view text);

/// Without leading (trailing) characters that are in `chars`; null: white space.
std::string_view strip(std::string_view text, bool left, bool right, const std::string_view* chars = nullptr);
/// Pieces between occurrences of `separator` (not empty), or between runs of white space if that is null; at most `most` cuts
/// (negative: any number), counted from the end if `from_end`.
std::vector<std::string_view> split(std::string_view text, const std::string_view* separator, long most, bool from_end);
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

std::string escape_html(std::string_view text);

}  // namespace atom::engine::jinja
