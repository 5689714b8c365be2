#include "sampling.hpp"

#include <algorithm>
#include <limits>

#include "atom/core/error.hpp"

namespace atom::tools {

engine::SamplingParams sampling_params(const SamplingFlags& flags, const engine::GenerationDefaults& defaults) {
  engine::SamplingParams p;
  p.temperature = flags.temperature.value_or(static_cast<double>(defaults.temperature));
  p.top_k = flags.top_k.value_or(defaults.top_k);
  p.top_p = flags.top_p.value_or(static_cast<double>(defaults.top_p));
  p.min_p = flags.min_p.value_or(static_cast<double>(defaults.min_p));
  p.max_tokens = flags.max_tokens;
  p.min_tokens = flags.min_tokens;
  p.presence_penalty = flags.presence_penalty;
  p.frequency_penalty = flags.frequency_penalty;
  p.repetition_penalty = flags.repetition_penalty;
  p.seed = flags.seed;
  p.stop_strings = flags.stop;
  p.ignore_eos = flags.ignore_eos;
  if (auto wrong = engine::validate(p, std::numeric_limits<int>::max())) {
    if (wrong->field == "stop_strings") wrong->field = "stop";
    std::ranges::replace(wrong->field, '_', '-');
    throw Error("--" + wrong->message());
  }
  return p;
}

}  // namespace atom::tools
