#pragma once
// How tokens are chosen, from the flags that `run` and `generate` share (SamplingFlags in commands.hpp).
#include "atom/engine/generation_config.hpp"
#include "atom/engine/sampling_params.hpp"

#include "commands.hpp"

namespace atom::tools {

/// The flags, and what the model's makers recommend where they are silent. Throws atom::Error naming the flag that is wrong.
engine::SamplingParams sampling_params(const SamplingFlags& flags, const engine::GenerationDefaults& defaults);

}  // namespace atom::tools
