// The engine inside your program: load a model directory, feed tokens, read logits.   embed_engine <model dir> <token ids...>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "atom/engine/session.hpp"
#include "atom/engine/universal.hpp"

int main(int argc, char** argv) try {
  if (argc < 3) {
    std::fprintf(stderr, "usage: embed_engine <model dir> <token ids...>\n");
    return 2;
  }
  atom::engine::ExecutorOptions options;
  options.model_dir = argv[1];
  options.context_tokens = 64;
  // Everything that can fail fails here, with a message.
  atom::engine::Executor executor(options, atom::engine::universal_builds());

  atom::engine::Session session(executor);
  std::vector<int> prompt;
  for (int i = 2; i < argc; ++i) prompt.push_back(std::atoi(argv[i]));
  const float* logits = session.feed(prompt);

  const atom::kernels::SampleParams greedy{.temperature = 0};
  for (int n = 0; n < 8; ++n) {
    const int token = session.sample(logits, greedy);
    std::printf("%d%c", token, n == 7 ? '\n' : ' ');
    logits = session.decode(token);  // noexcept, allocates nothing
  }
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
