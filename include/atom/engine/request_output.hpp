#pragma once
// What a request gives back: pieces while it runs (StreamOutput), the whole at its end (RequestOutput).
// One idea: both are views of the same growing answer; the end of a stream hands out the whole it was part of.
// To extend: a member here, filled in src/engine/answer.cpp.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace atom::engine {

enum class FinishReason : unsigned char {
  none,         // still running
  eos,          // an end-of-sequence token of the model
  stop_token,   // one of SamplingParams::stop_token_ids
  stop_string,  // one of SamplingParams::stop_strings
  max_tokens,
  context_end,  // prompt and answer fill max_model_len
  aborted,      // by abort(), or because its callback threw
  refused,      // never ran: RequestOutput::error says why
  failed        // memory for its text ran out; other requests are not affected
};

struct TokenLogprob {
  int token;
  float logprob;
};

struct RequestOutput {
  std::uint64_t id = 0;                // of the request; 0 when refused
  int index = 0;                       // which of its n answers
  std::string text;                    // special tokens and the stop string left out
  std::vector<int> token_ids;          // all that were generated, the one that ended the text included
  std::vector<TokenLogprob> logprobs;  // (tokens, 1 + SamplingParams::logprobs): the chosen one, then the most likely
  FinishReason finish_reason = FinishReason::none;
  std::string error;
  int num_tokens_input = 0, num_tokens_output = 0;
  int num_cached_tokens = 0;                            // of the prompt, found in the prefix cache
  int num_tokens_drafted = 0, num_tokens_accepted = 0;  // guesses at the answer that were verified, and that were right
  double latency = 0;                                   // seconds from arrival to the end
  double ttft = 0;                                      // seconds from arrival to the first token
  double tpot = 0;                                      // seconds per token after the first

  /// "eos", "stop_<token id>", "stop_sequence", "max_tokens", "context_end", "aborted", "refused: <error>", "failed".
  [[nodiscard]] std::string reason() const;
};

/// One step's share of an answer. Views are valid during the call that receives it.
struct StreamOutput {
  std::uint64_t id = 0;
  int index = 0;
  std::string_view text;                    // what has become certain
  std::span<const int> token_ids;           // what was generated
  std::span<const TokenLogprob> logprobs;   // (tokens, 1 + SamplingParams::logprobs)
  const RequestOutput* finished = nullptr;  // the whole, in the last piece
};

}  // namespace atom::engine
