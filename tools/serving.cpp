#include "serving.hpp"

#include <filesystem>

#include "atom/engine/executor.hpp"

#include "common.hpp"

namespace atom::tools {

engine::LLMEngine load_engine(const ModelOptions& options, engine::Progress* progress) {
  require_model(options);
  const engine::Config config = engine::resolve(options, *options.builds);
  if (progress)
    for (const std::string& warning : config.warnings) progress->warn(warning);
  engine::ExecutorOptions executor = engine::executor_options(config);
  executor.progress = progress;
  if (std::filesystem::exists(config.model + "/tokenizer.json")) return engine::LLMEngine::load(executor, *options.builds, config);
  return {std::make_unique<engine::Executor>(executor, *options.builds), {}, config};
}

}  // namespace atom::tools
