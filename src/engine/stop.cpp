#include "atom/engine/stop.hpp"

#include <algorithm>

namespace atom::engine {

StopStrings::StopStrings(std::span<const std::string> strings) {
  std::size_t longest = 0;
  for (const std::string& s : strings) {
    std::vector<std::size_t> fallback(s.size(), 0);
    for (std::size_t i = 1, border = 0; i < s.size(); ++i) {
      while (border > 0 && s[i] != s[border]) border = fallback[border - 1];
      if (s[i] == s[border]) ++border;
      fallback[i] = border;
    }
    automata_.push_back({s, std::move(fallback)});
    longest = std::max(longest, s.size());
  }
  text_.reserve(longest + 256);
}

// True when the string is complete.
bool StopStrings::Automaton::push(char c) {
  while (matched > 0 && string[matched] != c) matched = fallback[matched - 1];
  if (string[matched] == c) ++matched;
  return matched == string.size();
}

void StopStrings::drop_shown() {
  text_.erase(0, shown_);
  shown_ = 0;
}

StopStrings::Result StopStrings::push(std::string_view piece) {
  if (automata_.empty()) return {piece, false};
  drop_shown();
  const std::size_t withheld = text_.size();
  text_ += piece;
  for (std::size_t i = withheld; i < text_.size(); ++i) {
    std::size_t longest = 0;
    for (Automaton& a : automata_)
      if (a.push(text_[i])) longest = std::max(longest, a.string.size());
    if (longest > 0) return {std::string_view(text_).substr(0, i + 1 - longest), true};
  }
  std::size_t keep = 0;
  for (const Automaton& a : automata_) keep = std::max(keep, a.matched);
  shown_ = text_.size() - keep;
  return {std::string_view(text_).substr(0, shown_), false};
}

std::string_view StopStrings::finish() {
  drop_shown();
  return text_;
}

FinishReason end_by_token(const StopRules& rules, int token, int generated) noexcept {
  if (generated <= rules.min_tokens) return FinishReason::none;
  if (std::ranges::find(rules.eos, token) != rules.eos.end()) return FinishReason::eos;
  if (std::ranges::find(rules.stop_token_ids, token) != rules.stop_token_ids.end()) return FinishReason::stop_token;
  return FinishReason::none;
}

FinishReason end_by_length(const StopRules& rules, int prompt, int generated) noexcept {
  if (generated >= rules.max_tokens) return FinishReason::max_tokens;
  if (prompt + generated >= rules.max_context) return FinishReason::context_end;
  return FinishReason::none;
}

}  // namespace atom::engine
