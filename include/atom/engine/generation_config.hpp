#pragma once
// generation_config.json: how the makers of a checkpoint want it sampled. Optional; defaults where it is silent.
// One idea: do_sample = false is temperature 0, so that sampling has one switch.
// To extend: a member and its line in src/engine/generation_config.cpp.
#include <string>
#include <vector>

#include "atom/engine/config.hpp"

namespace atom::engine {

struct GenerationDefaults {
  float temperature = 0;                  // 0: greedy
  int top_k = 0;                          // 0: all tokens
  float top_p = 1, min_p = 0;             // 1, 0: off
  std::vector<int> eos_token_ids;         // any of them ends a text
  int bos_token_id = -1;                  // -1: none
  std::vector<std::string> unknown_keys;  // penalties and search methods among them: warn that they have no effect
};

/// Reads generation_config.json of a model directory; a file that is absent is an empty one. Token ids that it does not give
/// are those of `config`. Throws atom::Error that lists every field that is wrong.
GenerationDefaults read_generation_config(const std::string& model_dir, const ModelConfig& config);

/// The same from parsed JSON.
GenerationDefaults from_generation_config(const Json& json, const ModelConfig& config);

}  // namespace atom::engine
