#pragma once
// The alphabet of byte-level vocabularies: each byte is written as one printable character, so that any bytes are a valid string.
// One idea: printable Latin-1 stands for itself; the other 68 bytes, in order, take the characters from U+0100 on.
#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "utf8.hpp"

namespace atom::engine::text {

namespace detail {

struct ByteAlphabet {
  std::array<char32_t, 256> letter{};  // of a byte
  std::array<short, 0x144> byte{};     // of a letter; -1: no letter
};

constexpr ByteAlphabet byte_alphabet = [] {
  ByteAlphabet a;
  a.byte.fill(-1);
  char32_t next = 0x100;
  for (unsigned b = 0; b < 256; ++b) {
    const bool printable = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b != 0xad);
    a.letter[b] = printable ? static_cast<char32_t>(b) : next++;
    a.byte[a.letter[b]] = static_cast<short>(b);
  }
  return a;
}();

}  // namespace detail

/// The letter that stands for a byte, as UTF-8.
inline std::string byte_letter(unsigned char byte) {
  std::string out;
  append(out, detail::byte_alphabet.letter[byte]);
  return out;
}

/// The bytes that a token stands for; nothing when one of its characters is no letter of the alphabet.
inline std::optional<std::string> bytes_of_letters(std::string_view token) {
  std::string bytes;
  while (!token.empty()) {
    const char32_t c = take(token);
    if (c >= detail::byte_alphabet.byte.size() || detail::byte_alphabet.byte[c] < 0) return std::nullopt;
    bytes += static_cast<char>(static_cast<unsigned char>(detail::byte_alphabet.byte[c]));
  }
  return bytes;
}

}  // namespace atom::engine::text
