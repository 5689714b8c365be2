#pragma once
// When an answer ends: StopStrings finds strings in a stream of text; end_by_token and end_by_length judge its newest token.
// One idea: text is matched byte by byte as it is streamed (one automaton per string), so where tokens begin and end plays no
// part; what may still become a stop string is withheld, and nothing else is.
// Reasons win in the order eos, stop token, stop string, max tokens, context end.
// To extend: a new reason is a line of one of the two functions, and its place in that order.
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "atom/engine/request_output.hpp"

namespace atom::engine {

/// The match that counts is the one that is complete first; of several complete at the same byte, the longest.
class StopStrings {
 public:
  struct Result {
    std::string_view text;  // may be shown; valid until the next call
    bool found;             // the text ends here, before a stop string; no more calls then
  };

  StopStrings() = default;
  /// Strings must not be empty.
  explicit StopStrings(std::span<const std::string> strings);

  Result push(std::string_view piece);
  /// What was withheld: the text ends without a stop string.
  [[nodiscard]] std::string_view finish();

 private:
  struct Automaton {  // Knuth, Morris, Pratt
    std::string string;
    std::vector<std::size_t> fallback;  // (length): the longest proper border of each prefix
    std::size_t matched = 0;
    bool push(char c);
  };
  void drop_shown();

  std::vector<Automaton> automata_;
  std::string text_;  // shown by the last call, then withheld
  std::size_t shown_ = 0;
};

/// What decides whether a sequence goes on.
struct StopRules {
  std::vector<int> eos = {};             // of the model; empty with ignore_eos
  std::vector<int> stop_token_ids = {};  // of the request
  int min_tokens = 0;
  int max_tokens = 0;   // generated
  int max_context = 0;  // prompt and generated
};

/// The reason a sequence ends with `token`, its `generated`-th one: eos, stop token. none: its text decides, then the limits.
[[nodiscard]] FinishReason end_by_token(const StopRules& rules, int token, int generated) noexcept;
/// The reason a sequence of so many tokens ends after its text had no say: max tokens, context end.
[[nodiscard]] FinishReason end_by_length(const StopRules& rules, int prompt, int generated) noexcept;

}  // namespace atom::engine
