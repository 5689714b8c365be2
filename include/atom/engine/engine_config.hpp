#pragma once
// EngineConfig: how many requests an engine serves at once, and how it shares a step among them.
// One idea: numbers left at 0 mean "what the model was prepared for"; resolve() replaces them and refuses what cannot work, once,
// before the first request.
// To extend: a member, its rule in src/engine/engine_config.cpp, and the code it steers.
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "atom/engine/speculative_config.hpp"
#include "atom/engine/step_model.hpp"

namespace atom::engine {

struct EngineConfig {
  int max_num_seqs = 0;                    // sequences running at once
  int max_num_batched_tokens = 0;          // tokens per step
  int max_model_len = 0;                   // prompt and answer together; capped by what the model was trained for
  int num_kvcache_blocks = -1;             // pages of 16 tokens; -1: all of the model's cache
  bool enable_chunked_prefill = true;      // a prompt may be spread over several steps
  int long_prefill_token_threshold = 0;    // at most so many tokens of one prompt per step, 0: no limit
  double scheduler_delay_factor = 0;       // wait this times the last prompt's step before starting the next prompt
  bool enable_prefix_caching = true;       // pages of finished requests serve later ones that begin with the same tokens
  bool mixed_batches = true;               // prompts and running answers in one step; false: prompts first, in steps of their own
  std::vector<int> batch_buckets = {};     // steps of answers alone are padded to the next of these many sequences; empty: never
  std::vector<int> eos_token_ids = {};     // any of them ends an answer
  std::optional<std::uint64_t> seed = {};  // of requests without one; nothing: random
  SpeculativeConfig speculative_config = {};  // who guesses tokens, and how many
};

/// What a model was prepared for; see StepModel.
struct ModelLimits {
  int vocab, max_position, context_tokens, max_rows, max_seqs, max_logits;
  bool rewinds = true;
};
ModelLimits limits_of(const StepModel& model);

/// Rows of logits that the largest step of a config without 0s has: one per sequence, and one for every draft behind it.
int logit_rows(const EngineConfig& config) noexcept;

/// The config with every 0 and -1 replaced. Throws atom::Error naming the field.
EngineConfig resolve(EngineConfig config, const ModelLimits& model);
inline EngineConfig resolve(EngineConfig config, const StepModel& model) { return resolve(std::move(config), limits_of(model)); }

/// 1, 2, 4, 8, then every multiple of 16 up to `most`: sizes worth a recorded graph each.
std::vector<int> default_buckets(int most);

}  // namespace atom::engine
