#include "atom/engine/proposer.hpp"

#include <algorithm>

#include "atom/core/error.hpp"
#include "atom/engine/mtp_proposer.hpp"

namespace atom::engine {

namespace {

struct Method {
  std::string_view name;
  int layers;
  std::unique_ptr<Proposer> (*make)(const EngineConfig&, StepModel&);
};

constexpr Method methods[] = {
    {"ngram", 0,
     [](const EngineConfig& c, StepModel&) -> std::unique_ptr<Proposer> {
       return std::make_unique<NgramProposer>(c.speculative_config.prompt_lookup_min, c.speculative_config.prompt_lookup_max);
     }},
    {"mtp", MtpProposer::run_layers,
     [](const EngineConfig& c, StepModel& m) -> std::unique_ptr<Proposer> { return std::make_unique<MtpProposer>(c, m); }},
};

const Method* find(const SpeculativeConfig& config) {
  const auto* at = std::ranges::find(methods, config.method, &Method::name);
  return at == std::end(methods) ? nullptr : at;
}

}  // namespace

void NgramProposer::propose(const Batch&, std::span<Drafting> step) noexcept {
  for (Drafting& d : step) d.drafted = d.drafts.empty() ? 0 : look_up(d.tokens, d.drafts);
}

int NgramProposer::look_up(std::span<const int> tokens, std::span<int> drafts) const noexcept {
  const auto token = [&](int i) { return tokens[static_cast<std::size_t>(i)]; };
  constexpr int block = 64;
  const int n = static_cast<int>(tokens.size());
  int longest = 0, next = 0;                                               // the match, and the place behind it
  for (int high = n - 1; high >= min_ && longest < max_; high -= block) {  // matches that end in (low, high]
    const int low = std::max(high - block, min_ - 1);
    if (std::count(tokens.begin() + low, tokens.begin() + high, tokens.back()) == 0)
      continue;  // a loop of vectors, and most often so
    for (int end = high; end > low && longest < max_; --end) {
      int same = 0;
      while (same < std::min(max_, end) && token(end - 1 - same) == token(n - 1 - same)) ++same;
      if (same > longest) longest = same, next = end;
    }
  }
  if (longest < min_) return 0;
  const auto count = static_cast<int>(drafts.size());
  for (int i = 0; i < count; ++i)
    drafts[static_cast<std::size_t>(i)] = next + i < n ? token(next + i) : drafts[static_cast<std::size_t>(next + i - n)];
  return count;
}

std::unique_ptr<Proposer> make_proposer(const EngineConfig& config, StepModel& model) {
  const SpeculativeConfig& wanted = config.speculative_config;
  if (wanted.method.empty()) return nullptr;
  if (const Method* method = find(wanted)) return method->make(config, model);
  throw Error("speculative_config.method: \"" + wanted.method + "\" is unknown; use ngram or mtp");
}

int draft_layers(const SpeculativeConfig& config) {
  const Method* method = find(config);
  return method ? method->layers : 0;
}

}  // namespace atom::engine
