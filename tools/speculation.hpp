#pragma once
// How good the drafts of a run were, as a person and as a program read it.
// One idea: a program sees the names that servers of such engines use; a person sees what to turn.
#include <cstdio>
#include <string>

#include "atom/engine/speculation_stats.hpp"

#include "statistics.hpp"

namespace atom::tools {

/// "drafts: 34 of 80 accepted (1st 60 %, 2nd 25 %), 1.74 tokens per step"
inline std::string drafts_text(const engine::SpeculationStats& s) {
  char text[64];
  std::snprintf(text, sizeof text, "drafts: %llu of %llu accepted", static_cast<unsigned long long>(s.accepted()),
                static_cast<unsigned long long>(s.drafted()));
  std::string out = text;
  for (std::size_t i = 0; i < s.most && s.acceptance_at(i) > 0; ++i) {
    const char* ending = i == 0 ? "st" : i == 1 ? "nd" : i == 2 ? "rd" : "th";
    std::snprintf(text, sizeof text, "%s%zu%s %.0f %%", i ? ", " : " (", i + 1, ending, 100 * s.acceptance_at(i));
    out += text;
  }
  std::snprintf(text, sizeof text, "%s, %.2f tokens per step", s.accepted() ? ")" : "", s.tokens_per_forward());
  return out + text;
}

inline std::string drafts_json(const engine::SpeculationStats& s) {
  JsonObject o, distribution, percent;
  std::vector<double> positions;
  for (std::size_t b = 0; b <= s.most; ++b) {
    if (s.distribution[b] == 0) continue;
    const std::string key = std::to_string(b);
    distribution.number(key.c_str(), s.distribution[b]);
    percent.number(key.c_str(), static_cast<double>(s.distribution[b]) / static_cast<double>(s.forwards()));
  }
  for (std::size_t i = 0; i < s.most && s.acceptance_at(i) > 0; ++i) positions.push_back(s.acceptance_at(i));
  o.raw("enabled", s.enabled ? "true" : "false").number("total_draft_tokens", s.drafted());
  o.number("total_accepted_tokens", s.accepted()).number("acceptance_rate", s.acceptance_rate());
  o.number("average_tokens_per_forward", s.tokens_per_forward()).raw("distribution", distribution.done());
  o.raw("distribution_percent", percent.done()).numbers("acceptance_per_position", positions);
  return o.done();
}

}  // namespace atom::tools
