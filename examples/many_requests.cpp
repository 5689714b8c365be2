// Many requests on one model, in one batch.   many_requests <model dir> <prompt>...
#include <cstdio>
#include <exception>

#include "atom/engine/engine.hpp"
#include "atom/engine/executor.hpp"
#include "atom/engine/universal.hpp"

int main(int argc, char** argv) try {
  if (argc < 3) {
    std::fprintf(stderr, "usage: many_requests <model dir> <prompt>...\n");
    return 2;
  }
  using namespace atom::engine;
  ExecutorOptions options;
  options.model_dir = argv[1];
  options.context_tokens = 4096;  // of all requests together
  EngineConfig config;
  config.max_num_seqs = 8;
  LLMEngine engine = LLMEngine::load(options, universal_builds(), config);

  const std::vector<Prompt> prompts(argv + 2, argv + argc);
  SamplingParams params;
  params.temperature = 0;
  params.max_tokens = 24;
  for (const RequestOutput& answer : engine.generate(prompts, params)) std::printf("%s\n", answer.text.c_str());
  return engine.stats().blocks_used > 1;  // every page came back, but the one that pads
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
