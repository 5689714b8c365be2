#include "added_tokens.hpp"

#include <algorithm>
#include <utf8proc.h>

#include "utf8.hpp"

namespace atom::engine::text {
namespace {

constexpr std::size_t longest_content = 1024;  // bounds the time per byte of text

/// What regular expressions call \w: letters, marks, decimal digits, connectors, joiners, and letters in circles.
bool is_word(char32_t c) {
  if ((c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
      (c >= 0x1f170 && c <= 0x1f189) || c == 0x200c || c == 0x200d) {
    return true;
  }
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) || category == UTF8PROC_CATEGORY_PC;
}

bool ends_in_word(std::string_view text) { return !text.empty() && is_word(front(text.substr(last_begin(text))).scalar); }
bool begins_with_word(std::string_view text) { return !text.empty() && is_word(front(text).scalar); }

}  // namespace

std::vector<AddedToken> read_added_tokens(const Entry& root) {
  std::vector<AddedToken> tokens;
  const auto list = root.find("added_tokens");
  if (!list) return tokens;
  for (const Entry& entry : list->items()) {
    const std::int64_t id = entry.at("id").integer();
    if (id < 0 || id >= Vocabulary::most_tokens) {
      entry.refuse("id " + std::to_string(id) + " is outside 0.." + std::to_string(Vocabulary::most_tokens - 1));
    }
    AddedToken token{.id = static_cast<int>(id), .content = entry.string("content")};
    if (token.content.size() > longest_content) {
      entry.refuse("content of " + std::to_string(token.content.size()) + " bytes; at most " + std::to_string(longest_content) +
                   " are accepted");
    }
    token.single_word = entry.flag("single_word", false);
    token.lstrip = entry.flag("lstrip", false);
    token.rstrip = entry.flag("rstrip", false);
    token.special = entry.flag("special", false);
    token.normalized = entry.flag("normalized", !token.special);
    tokens.push_back(std::move(token));
  }
  return tokens;
}

void TokenTrie::add(std::string_view content, const AddedToken& token) {
  starts_[static_cast<unsigned char>(content[0])] = true;
  std::uint32_t node = 0;
  for (const char c : content) {
    const auto byte = static_cast<unsigned char>(c);
    const auto& children = nodes_[node].children;
    const auto child = std::find_if(children.begin(), children.end(), [&](const auto& edge) { return edge.first == byte; });
    if (child != children.end()) {
      node = child->second;
    } else {
      const auto fresh = static_cast<std::uint32_t>(nodes_.size());
      nodes_[node].children.emplace_back(byte, fresh);
      nodes_.emplace_back();
      node = fresh;
    }
  }
  if (nodes_[node].token >= 0) return;
  nodes_[node].token = static_cast<int>(tokens_.size());
  tokens_.push_back(token);
}

bool TokenTrie::next(std::string_view text, std::size_t& at, std::size_t done, bool parse_special, Segment& found) const {
  for (at = std::max(at, done); at < text.size();) {
    if (!starts_[static_cast<unsigned char>(text[at])]) {
      ++at;
      continue;
    }
    std::size_t end = at;
    int longest = -1;
    std::uint32_t node = 0;
    for (std::size_t i = at; i < text.size(); ++i) {
      const auto& children = nodes_[node].children;
      const auto byte = static_cast<unsigned char>(text[i]);
      const auto child = std::find_if(children.begin(), children.end(), [&](const auto& edge) { return edge.first == byte; });
      if (child == children.end()) break;
      node = child->second;
      if (nodes_[node].token >= 0) {
        longest = nodes_[node].token;
        end = i + 1;
      }
    }
    if (longest < 0) {
      ++at;
      continue;
    }
    const std::size_t begin = std::exchange(at, end);  // a match that does not count is consumed all the same
    const AddedToken& token = tokens_[static_cast<std::size_t>(longest)];
    if (token.special && !parse_special) continue;
    if (token.single_word && (ends_in_word(text.substr(0, begin)) || begins_with_word(text.substr(end)))) continue;
    found = {begin, end, token.id};
    while (token.lstrip && found.begin > done) {
      const std::size_t last = last_begin(text.substr(0, found.begin));
      if (!is_space(front(text.substr(last)).scalar)) break;
      found.begin = last;
    }
    for (std::string_view rest = text.substr(end); token.rstrip && !rest.empty() && is_space(take(rest));) {
      found.end = text.size() - rest.size();
    }
    return true;
  }
  return false;
}

AddedTokens::AddedTokens(const std::vector<AddedToken>& tokens, const Normalizer& normalizer) {
  // Where two contents become equal by normalization, special tokens come first.
  for (const bool special : {true, false}) {
    for (const AddedToken& token : tokens) {
      if (token.special != special || token.content.empty()) continue;
      std::string storage;
      if (!token.normalized) {
        as_typed.add(token.content, token);
      } else if (const auto content = normalizer.apply(token.content, storage, 64 * longest_content); !content.empty()) {
        normalized.add(content, token);
      }
    }
  }
}

}  // namespace atom::engine::text
