#pragma once
// SamplingParams: how one request wants its tokens chosen and when it ends.
// One idea: the fields are as wide as what a client can send (64-bit integers, doubles), so that every value arrives here
// unchanged and one function judges it, naming the field.
// To extend: a member, its rule in src/engine/sampling_params.cpp, and its effect in LogitEdits or kernels::SampleParams.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace atom::engine {

struct TokenBias {
  int token = 0;
  double bias = 0;
};

struct SamplingParams {
  double temperature = 1;                      // 0 (or below 1e-5): greedy
  std::int64_t max_tokens = 64;                // more than the context has room for: until the context ends
  std::vector<std::string> stop_strings = {};  // end the text before the first of them
  bool ignore_eos = false;                     // generate past the model's end-of-sequence tokens

  std::int64_t top_k = -1;      // keep the k most likely; -1 or 0: all
  double top_p = 1, min_p = 0;  // see kernels::SampleParams; 1 and 0: off
  std::optional<std::uint64_t> seed = {};
  std::int64_t n = 1;             // answers to the same prompt, each with its own random stream
  double presence_penalty = 0;    // taken from the logit of every token generated before
  double frequency_penalty = 0;   // the same, times how often
  double repetition_penalty = 1;  // logits of tokens seen before, prompt included, are divided (positive) or multiplied by it
  std::vector<TokenBias> logit_bias = {};
  std::int64_t logprobs = -1;            // -1: none; else of the chosen token and of this many most likely ones, before any edit
  std::int64_t min_tokens = 0;           // no end of sequence, stop token or stop string before this many
  std::vector<int> stop_token_ids = {};  // end the text like eos, whatever ignore_eos says
};

/// What a request may ask for at most.
struct RequestLimits {
  static constexpr std::int64_t n = 128, logprobs = 20;
  static constexpr std::size_t stop_strings = 64, stop_bytes = std::size_t{1} << 20, stop_token_ids = 1024, logit_bias = 4096;
};

/// Why a request was not accepted. A value: one bad request is no reason to unwind an engine that serves others.
struct RequestError {
  std::string field;  // as the client spells it: "top_p", "prompt"
  std::string why;
  [[nodiscard]] std::string message() const { return field + ": " + why; }
};

/// The first field that is wrong, if any. vocab: rows of logits; token ids lie in [0, vocab).
std::optional<RequestError> validate(const SamplingParams& params, int vocab);

/// The seed of answer `index` of a request with this seed: what an n = 1 request needs in order to get that answer alone.
std::uint64_t answer_seed(std::uint64_t seed, int index) noexcept;

}  // namespace atom::engine
