#include "atom/engine/answer.hpp"

#include <exception>
#include <span>

namespace atom::engine {

std::string RequestOutput::reason() const {
  switch (finish_reason) {
    case FinishReason::none: return "none";
    case FinishReason::eos: return "eos";
    case FinishReason::stop_token: return "stop_" + std::to_string(token_ids.back());
    case FinishReason::stop_string: return "stop_sequence";
    case FinishReason::max_tokens: return "max_tokens";
    case FinishReason::context_end: return "context_end";
    case FinishReason::aborted: return "aborted";
    case FinishReason::refused: return "refused: " + error;
    case FinishReason::failed: return "failed";
  }
  return {};
}

void Answer::reserve(int tokens, int logprobs_per_token) {
  constexpr std::size_t usual_bytes = 8;  // of a token's text; a longer text grows its string
  const auto n = static_cast<std::size_t>(tokens);
  logprobs_each_ = static_cast<std::size_t>(logprobs_per_token);
  output.token_ids.reserve(n);
  output.logprobs.reserve(n * logprobs_each_);
  if (detokenizer) output.text.reserve(usual_bytes * n + 64);
}

FinishReason Answer::push(int token, double seconds_since_arrival) {
  output.token_ids.push_back(token);
  const int generated = static_cast<int>(output.token_ids.size());
  if (generated == 1) first_ = seconds_since_arrival;
  FinishReason reason = end_by_token(rules, token, generated);
  if (reason != FinishReason::none) return reason;  // the token that ends a text is no part of it
  reason = add_text(token, generated);
  return reason != FinishReason::none ? reason : end_by_length(rules, output.num_tokens_input, generated);
}

FinishReason Answer::add_text(int token, int generated) {
  if (!detokenizer) return FinishReason::none;
  const std::string_view piece = detokenizer->push(token);
  if (generated <= rules.min_tokens) {
    output.text += piece;
    return FinishReason::none;
  }
  const auto [text, found] = stop_strings.push(piece);
  output.text += text;
  return found ? FinishReason::stop_string : FinishReason::none;
}

// The end of the text may itself complete a stop string: a character cut off becomes U+FFFD only now.
void Answer::flush(FinishReason& reason) {
  const auto [text, found] = stop_strings.push(detokenizer->finish());
  output.text += text;
  if (!found) {
    output.text += stop_strings.finish();
  } else if (reason == FinishReason::max_tokens || reason == FinishReason::context_end) {
    reason = FinishReason::stop_string;
  }
}

void Answer::finish(FinishReason reason, double seconds_since_arrival) noexcept {
  try {
    if (detokenizer && reason != FinishReason::stop_string && reason != FinishReason::failed) flush(reason);
  } catch (const std::exception&) {
    reason = FinishReason::failed;
  }
  output.finish_reason = reason;
  output.logprobs.resize(output.token_ids.size() * logprobs_each_);  // drafts behind the end were verified too
  output.num_tokens_output = static_cast<int>(output.token_ids.size());
  output.latency = seconds_since_arrival;
  if (output.num_tokens_output > 0) output.ttft = first_;
  if (output.num_tokens_output > 1) output.tpot = (output.latency - output.ttft) / (output.num_tokens_output - 1);
}

bool Answer::deliver() noexcept {
  if (!callback) return true;
  StreamOutput piece;
  piece.id = output.id;
  piece.index = output.index;
  piece.text = std::string_view(output.text).substr(text_told_);
  piece.token_ids = std::span(output.token_ids).subspan(tokens_told_);
  piece.logprobs = std::span(output.logprobs).subspan(logprobs_told_);
  if (output.finish_reason != FinishReason::none) piece.finished = &output;
  text_told_ = output.text.size();
  tokens_told_ = output.token_ids.size();
  logprobs_told_ = output.logprobs.size();
  try {
    (*callback)(piece);
  } catch (...) {
    return false;
  }
  return true;
}

}  // namespace atom::engine
