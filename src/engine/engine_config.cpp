#include "atom/engine/engine_config.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "atom/core/error.hpp"
#include "atom/engine/block_manager.hpp"

namespace atom::engine {

namespace {

[[noreturn]] void refuse(const std::string& field, const std::string& why) { throw Error(field + ": " + why); }

/// 0 becomes `most`; more is refused.
void fill(int& value, const char* field, int most, const char* what) {
  if (value < 0) refuse(field, "must be positive, not " + std::to_string(value));
  if (value > most)
    refuse(field, std::to_string(value) + " exceeds the " + std::to_string(most) + " " + what +
                      " that the model was prepared for; lower it, or prepare the model for more");
  if (value == 0) value = most;
}

void check(const SpeculativeConfig& s) {
  const auto between = [](const char* field, int value, int low, int high) {
    if (value < low || value > high)
      refuse(field, "must be between " + std::to_string(low) + " and " + std::to_string(high) + ", not " + std::to_string(value));
  };
  if (s.method.empty()) return;
  between("num_speculative_tokens", s.num_speculative_tokens, 1, SpeculativeConfig::most_tokens);
  if (s.prompt_lookup_max < 1) refuse("prompt_lookup_max", "must be 1 or more, not " + std::to_string(s.prompt_lookup_max));
  between("prompt_lookup_min", s.prompt_lookup_min, 1, s.prompt_lookup_max);
}

}  // namespace

ModelLimits limits_of(const StepModel& m) {
  return {m.vocab(), m.max_position(), m.context_tokens(), m.max_rows(), m.max_seqs(), m.max_logits(), m.rewinds()};
}

int logit_rows(const EngineConfig& c) noexcept {
  const int drafts = c.speculative_config.drafts();
  return std::clamp(c.max_num_batched_tokens, c.max_num_seqs, c.max_num_seqs * (1 + drafts));
}

EngineConfig resolve(EngineConfig c, const ModelLimits& model) {
  fill(c.max_num_seqs, "max_num_seqs", std::min({model.max_seqs, model.max_logits, model.max_rows}), "sequences per step");
  fill(c.max_num_batched_tokens, "max_num_batched_tokens", model.max_rows, "tokens per step");
  if (c.max_num_batched_tokens < c.max_num_seqs)
    refuse("max_num_batched_tokens", std::to_string(c.max_num_batched_tokens) + " is less than max_num_seqs " +
                                         std::to_string(c.max_num_seqs) + ": a step must have a token for every sequence");
  check(c.speculative_config);
  if (!model.rewinds) {
    if (!c.speculative_config.method.empty())
      refuse("speculative_config.method", c.speculative_config.method +
                                              ": drafts that turn out wrong cannot be taken back, because "
                                              "this model carries a state from token to token; leave the method out");
    c.enable_prefix_caching = false;  // pages are worth nothing without the state behind them
  }
  if (logit_rows(c) > model.max_logits)
    refuse("num_speculative_tokens", std::to_string(c.speculative_config.num_speculative_tokens) + " for each of " +
                                         std::to_string(c.max_num_seqs) + " sequences need " + std::to_string(logit_rows(c)) +
                                         " rows of logits per step, and the model was prepared for " +
                                         std::to_string(model.max_logits) + "; lower one of the two");

  constexpr int page = kernels::page_tokens;
  if (c.num_kvcache_blocks == -1) c.num_kvcache_blocks = model.context_tokens / page;
  if (c.num_kvcache_blocks < 1 || c.num_kvcache_blocks > model.context_tokens / page)
    refuse("num_kvcache_blocks", "must be between 1 and the model's " + std::to_string(model.context_tokens / page) + ", not " +
                                     std::to_string(c.num_kvcache_blocks));
  int last = 0;
  for (const int bucket : c.batch_buckets) {
    if (bucket <= last || bucket > c.max_num_seqs)
      refuse("batch_buckets", "must ascend and lie between 1 and max_num_seqs " + std::to_string(c.max_num_seqs));
    last = bucket;
  }
  const int usable = (c.num_kvcache_blocks - !c.batch_buckets.empty()) * page;  // padding writes to a page of its own
  if (usable < 2) refuse("num_kvcache_blocks", "batch_buckets need one page more");
  if (c.max_model_len < 0) refuse("max_model_len", "must be positive, not " + std::to_string(c.max_model_len));
  const bool given = c.max_model_len > 0;
  c.max_model_len = given ? std::min(c.max_model_len, model.max_position) : std::min(model.max_position, usable);
  if (c.max_model_len < 2) refuse("max_model_len", "must leave room for a prompt and an answer: at least 2");
  if (c.max_model_len > usable)
    refuse("max_model_len", std::to_string(c.max_model_len) + " tokens do not fit into a KV cache of " + std::to_string(usable) +
                                "; lower it or give the cache more memory");
  const int threshold = c.long_prefill_token_threshold;
  if (threshold != 0 && (threshold < page || threshold > c.max_model_len))
    refuse("long_prefill_token_threshold", "must be 0 or between " + std::to_string(page) + " and max_model_len " +
                                               std::to_string(c.max_model_len) + ", not " + std::to_string(threshold));
  if (!std::isfinite(c.scheduler_delay_factor) || c.scheduler_delay_factor < 0)
    refuse("scheduler_delay_factor", "must be 0 or more");
  for (const int id : c.eos_token_ids)
    if (id < 0 || id >= model.vocab)
      refuse("eos_token_ids", std::to_string(id) + " is outside the vocabulary of " + std::to_string(model.vocab));
  return c;
}

std::vector<int> default_buckets(int most) {
  std::vector<int> buckets;
  for (const int b : {1, 2, 4, 8})
    if (b <= most) buckets.push_back(b);
  for (int b = 16; b <= most; b += 16) buckets.push_back(b);
  return buckets;
}

}  // namespace atom::engine
