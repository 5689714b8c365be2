#include "utf8.hpp"

#include <cstdint>
#include <cstring>

namespace atom::engine::text {

std::size_t ascii_prefix(std::string_view bytes) {
  std::size_t at = 0;
  for (std::uint64_t word; at + sizeof word <= bytes.size(); at += sizeof word) {
    std::memcpy(&word, bytes.data() + at, sizeof word);
    if (word & 0x8080808080808080u) break;
  }
  while (at < bytes.size() && static_cast<unsigned char>(bytes[at]) < 0x80) ++at;
  return at;
}

Sequence front(std::string_view bytes) {
  using Kind = Sequence::Kind;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return {Kind::character, 1, first};
  if (first < 0xc2 || first > 0xf4) return {Kind::ill_formed, 1, 0};
  const unsigned length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  char32_t scalar = first & (0x7fu >> length);
  unsigned low = 0x80, high = 0xbf;  // of the second byte: no overlong form, no surrogate, nothing above U+10FFFF
  if (first == 0xe0) low = 0xa0;
  if (first == 0xed) high = 0x9f;
  if (first == 0xf0) low = 0x90;
  if (first == 0xf4) high = 0x8f;
  for (unsigned char i = 1; i < length; ++i, low = 0x80, high = 0xbf) {
    if (i == bytes.size()) return {Kind::cut_off, i, 0};
    if (byte(i) < low || byte(i) > high) return {Kind::ill_formed, i, 0};
    scalar = scalar << 6 | (byte(i) & 0x3fu);
  }
  return {Kind::character, static_cast<unsigned char>(length), scalar};
}

std::size_t append_complete(std::string& out, std::string_view bytes) {
  std::size_t at = 0, good = 0;  // [good, at): characters not yet copied
  while (at < bytes.size()) {
    if (const std::size_t ascii = ascii_prefix(bytes.substr(at))) {
      at += ascii;
      continue;
    }
    const Sequence s = front(bytes.substr(at));
    if (s.kind == Sequence::Kind::cut_off) break;
    if (s.kind == Sequence::Kind::ill_formed) {
      out.append(bytes.substr(good, at - good)).append(replacement_character);
      good = at + s.bytes;
    }
    at += s.bytes;
  }
  out.append(bytes.substr(good, at - good));
  return at;
}

bool is_valid(std::string_view bytes) {
  while (!bytes.empty()) {
    bytes.remove_prefix(ascii_prefix(bytes));
    if (bytes.empty()) break;
    const Sequence s = front(bytes);
    if (s.kind != Sequence::Kind::character) return false;
    bytes.remove_prefix(s.bytes);
  }
  return true;
}

std::string repaired(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() + 16);
  if (append_complete(out, bytes) < bytes.size()) out += replacement_character;
  return out;
}

char32_t take(std::string_view& text) {
  const Sequence s = front(text);
  text.remove_prefix(s.bytes);
  return s.scalar;
}

void append(std::string& out, char32_t scalar) {
  const auto byte = [&](char32_t bits) { out += static_cast<char>(static_cast<unsigned char>(bits)); };
  if (scalar < 0x80) return byte(scalar);
  if (scalar < 0x800) {
    byte(0xc0 | scalar >> 6);
  } else {
    if (scalar < 0x10000) {
      byte(0xe0 | scalar >> 12);
    } else {
      byte(0xf0 | scalar >> 18);
      byte(0x80 | (scalar >> 12 & 0x3f));
    }
    byte(0x80 | (scalar >> 6 & 0x3f));
  }
  byte(0x80 | (scalar & 0x3f));
}

std::size_t last_begin(std::string_view text) {
  std::size_t at = text.size() - 1;
  while ((static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
  return at;
}

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
         c == 0x205f || c == 0x3000;
}

}  // namespace atom::engine::text
