#pragma once
// Answer: the text, log probabilities and times of one sequence, from its first token to its end, and whoever receives them.
// One idea: the output the caller gets is built in place, token by token, in memory reserved before the first.
// To extend: a member of RequestOutput is filled here.
#include <memory>
#include <optional>
#include <string>

#include "atom/engine/detokenizer.hpp"
#include "atom/engine/request_output.hpp"
#include "atom/engine/stop.hpp"
#include "atom/engine/stream_callback.hpp"

namespace atom::engine {

class Answer {
 public:
  RequestOutput output;
  StopRules rules;
  StopStrings stop_strings;
  std::optional<Detokenizer> detokenizer;          // primed with the prompt; nothing: ids alone
  std::shared_ptr<const StreamCallback> callback;  // shared by the answers of one request; null: nobody listens
  RequestOutput* destination = nullptr;            // where the whole goes at the end; null: to the callback alone

  /// Makes room for `tokens`, each with `logprobs_per_token` entries.
  void reserve(int tokens, int logprobs_per_token);

  /// Takes the next token; its log probabilities are in output.logprobs already. Returns the reason to end, or none. May throw
  /// std::bad_alloc, where a text is much longer than usual.
  FinishReason push(int token, double seconds_since_arrival);
  /// Ends the answer: releases what was withheld (a stop string found ends the text where it is), fills in the statistics.
  void finish(FinishReason reason, double seconds_since_arrival) noexcept;
  /// Tells the callback what is new. False when it threw.
  bool deliver() noexcept;

 private:
  FinishReason add_text(int token, int generated);
  void flush(FinishReason& reason);

  std::size_t logprobs_each_ = 0;                                    // per token
  double first_ = 0;                                                 // seconds from arrival to the first token
  std::size_t text_told_ = 0, tokens_told_ = 0, logprobs_told_ = 0;  // to the callback
};

}  // namespace atom::engine
