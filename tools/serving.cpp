#include "serving.hpp"

#include <algorithm>
#include <filesystem>

#include "atom/core/error.hpp"
#include "atom/engine/generation_config.hpp"

#include "system_info.hpp"

namespace atom::tools {

engine::LLMEngine load_engine(engine::ExecutorOptions options, const ServingOptions& serving, const engine::Registry& builds) {
  const auto config = engine::read_config(options.model_dir);
  engine::EngineConfig c;
  c.max_num_seqs = serving.max_num_seqs;
  c.max_num_batched_tokens = std::max(serving.max_num_batched_tokens, serving.max_num_seqs);
  c.max_model_len = std::min(serving.max_model_len ? serving.max_model_len : 8192, config.numbers.max_position);
  c.eos_token_ids = engine::read_generation_config(options.model_dir, config).eos_token_ids;
  options.max_rows = c.max_num_batched_tokens;
  options.max_seqs = options.max_logits = c.max_num_seqs;

  constexpr std::size_t page = kernels::page_tokens;
  const auto longest = (static_cast<std::size_t>(c.max_model_len) + page - 1) / page * page;
  std::size_t tokens = serving.kv_cache_tokens;
  if (tokens == 0) {
    engine::ExecutorOptions shapes = options;
    shapes.dry = true;
    shapes.progress = nullptr;
    shapes.context_tokens = static_cast<int>(page);
    const engine::Executor dry(shapes, builds);
    const std::size_t left = memory_left(system_info()) / 2, taken = dry.memory().weights + dry.memory().activations;
    const std::size_t each = (dry.memory().kv_cache + dry.memory().rope_table) / page;
    const std::size_t fit = left > taken ? (left - taken) / std::max<std::size_t>(each, 1) : 0;
    tokens = std::clamp(fit, longest, longest * static_cast<std::size_t>(c.max_num_seqs));
  }
  if (tokens < longest)
    throw Error("--kv-cache-tokens: " + std::to_string(tokens) + " do not hold one sequence of " + std::to_string(longest) +
                "; raise it or lower --max-model-len");
  options.context_tokens = static_cast<int>(std::min<std::size_t>(tokens, std::size_t{1} << 30));
  std::optional<engine::Tokenizer> tokenizer;
  if (std::filesystem::exists(options.model_dir + "/tokenizer.json")) tokenizer = engine::Tokenizer::from_dir(options.model_dir);
  return {std::make_unique<engine::Executor>(options, builds), std::move(tokenizer), c};
}

}  // namespace atom::tools
