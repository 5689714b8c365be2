#pragma once
// What `generate` and `bench engine` share: an engine for many sequences, its KV cache sized to what the machine has left.
#include "atom/engine/engine.hpp"
#include "atom/engine/executor.hpp"

namespace atom::tools {

/// How many sequences, of which length, a command is about to run.
struct ServingOptions {
  int max_num_seqs = 16, max_num_batched_tokens = 512, max_model_len = 0;  // max_model_len 0: the model's own, at most 8192
  std::size_t kv_cache_tokens = 0;  // 0: enough for all sequences at full length, within half of the memory that is left
};

/// Loads an engine; `options.context_tokens` is decided here. A directory without tokenizer.json gives an engine without text.
/// Throws atom::Error.
engine::LLMEngine load_engine(engine::ExecutorOptions options, const ServingOptions& serving, const engine::Registry& builds);

}  // namespace atom::tools
