#pragma once
// LogitEdits: what a request changes in its logits before the draw (penalties, biases, tokens that may not come yet), and log
// probabilities of the logits as they were.
// One idea: an edit touches only tokens that were seen or named, and remembers what it overwrote; the row can be restored, and a
// vocabulary-sized copy or counter per request is never needed.
// To extend: another edit is a loop in apply() that writes through set().
#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "atom/engine/request_output.hpp"
#include "atom/engine/sampling_params.hpp"

namespace atom::engine {

/// How often each token of a growing list was generated. Room for all of it is made at construction.
class TokenCounts {
 public:
  struct Entry {
    int token, generated;
    bool in_prompt;  // added with generated 0 first: it stays
  };
  explicit TokenCounts(std::size_t most_tokens);
  void add(int token, int generated) noexcept;
  /// Undoes the last add(token, 1) that was not undone.
  void take_back(int token) noexcept;
  [[nodiscard]] std::span<const Entry> entries() const noexcept { return entries_; }

 private:
  [[nodiscard]] std::size_t slot_of(int token) const noexcept;  // the token's, or the free one it would take
  std::vector<Entry> entries_;
  std::vector<int> slots_;  // (a power of two): index into entries_, or -1
};

class LogitEdits {
 public:
  /// Null when `params`, which are valid, ask for none. `forbidden`: tokens that may not come before params.min_tokens.
  /// `rows`: as many may be edited before the first is restored.
  static std::unique_ptr<LogitEdits> make(const SamplingParams& params, std::span<const int> prompt, std::span<const int> forbidden,
                                          int longest_answer, int rows = 1);

  /// Biases, then repetition, frequency and presence penalties, then the forbidden tokens, in logits (vocab).
  void apply(float* logits, int generated) noexcept;
  /// Undoes the last apply() that was not undone; for requests with log probabilities alone, and then after every apply().
  void restore(float* logits) noexcept;
  /// Takes note of a generated token; of the latest one, as if it had not been.
  void count(int token) noexcept;
  void take_back(int token) noexcept;

 private:
  LogitEdits(const SamplingParams& params, std::span<const int> prompt, std::span<const int> forbidden, int longest_answer,
             int rows);
  void set(float* logits, int token, float value) noexcept;

  std::vector<std::pair<int, float>> biases_, overwritten_;
  std::vector<std::size_t> edited_;  // per row not yet restored: where it begins in overwritten_
  std::vector<int> forbidden_;
  int min_tokens_;
  float repetition_, frequency_, presence_;
  bool penalties_, restored_;  // restored_: edits are remembered
  TokenCounts counts_;
};

/// Fills out (1 + top): the chosen token, then the `top` most likely ones (ties: lower id first), log softmax of logits (vocab).
void log_probabilities(const float* logits, int vocab, int chosen, int top, TokenLogprob* out) noexcept;

}  // namespace atom::engine
