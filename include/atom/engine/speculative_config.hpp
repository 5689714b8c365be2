#pragma once
// SpeculativeConfig: who guesses tokens for the model to verify, and how many.
// One idea: guesses never change an answer, only how many steps it takes; so this is data like any other setting.
// To extend: a method is a Proposer (atom/engine/proposer.hpp), its name in the table of methods (src/engine/proposer.cpp) and in
// the settings table.
#include <string>

namespace atom::engine {

struct SpeculativeConfig {
  static constexpr int most_tokens = 16;

  std::string method;              // ngram, mtp; empty: none
  std::string model;               // of the drafts. Not built: only the default is accepted
  int num_speculative_tokens = 1;  // per step and sequence, when there is a method
  int prompt_lookup_max = 4;       // ngram: how many of the last tokens are looked up in the text before them, at most
  int prompt_lookup_min = 2;       //        and at least

  /// Rows that a sequence may bring to a step beyond its own tokens.
  [[nodiscard]] int drafts() const noexcept { return method.empty() ? 0 : num_speculative_tokens; }
  bool operator==(const SpeculativeConfig&) const = default;
};

}  // namespace atom::engine
