#pragma once
// What `generate` and `bench engine` share: an engine for many sequences, from the settings table.
#include "atom/engine/engine.hpp"
#include "atom/engine/progress.hpp"

#include "commands.hpp"

namespace atom::tools {

/// Resolves the settings, warns of those that have no effect, and loads. A directory without tokenizer.json gives an
/// engine without text. Throws atom::Error.
engine::LLMEngine load_engine(const ModelOptions& options, engine::Progress* progress);

}  // namespace atom::tools
