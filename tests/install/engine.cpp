// Uses the installed engine: loads a model directory and prints one logit.
#include <cmath>
#include <cstdio>
#include <exception>

#include "atom/engine/session.hpp"
#include "atom/engine/universal.hpp"

int main(int, char** argv) try {
  atom::engine::ExecutorOptions options;
  options.model_dir = argv[1];
  options.backend = "ref";
  options.context_tokens = 16;
  atom::engine::Executor executor(options, atom::engine::universal_builds());
  const int prompt[] = {1, 2, 3};
  const float* logits = atom::engine::Session(executor).feed(prompt);
  std::printf("%.4f\n", double{logits[0]});
  return std::isfinite(logits[0]) ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
