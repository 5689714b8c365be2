// atom perplexity: mean negative log-likelihood per token over independent windows.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "atom/core/error.hpp"
#include "atom/engine/session.hpp"
#include "atom/engine/tokenizer.hpp"

#include "common.hpp"

namespace atom::tools {

namespace {

double nll(const float* logits, int vocab, int target) {
  const float top = *std::max_element(logits, logits + vocab);
  double sum = 0;
  for (int v = 0; v < vocab; ++v) sum += std::exp(static_cast<double>(logits[v] - top));
  return std::log(sum) + static_cast<double>(top - logits[target]);
}

}  // namespace

int perplexity(const PerplexityOptions& o) {
  if (o.file.empty() == o.ids.empty()) throw Error("perplexity: give either --file TEXT or --ids FILE.safetensors");
  if (o.window < 1) throw Error("--window: must be at least 1");
  TerminalProgress progress;
  auto options = executor_options(o.model, &progress);
  constexpr std::string_view names[] = {"nll_ids", "input_ids"};
  const std::vector<int> ids =
      o.ids.empty() ? engine::Tokenizer::from_dir(options.model_dir).encode(read_text(o.file)) : read_ids(o.ids, names);
  if (ids.size() < 2) throw Error((o.ids.empty() ? o.file : o.ids) + ": needs at least two tokens");
  options.max_rows = options.max_logits = 64;
  if (options.context_tokens == 0) options.context_tokens = o.window;
  engine::Executor executor(options, *o.model.builds);
  engine::Session session(executor);
  const int vocab = executor.config().spec.vocab;
  const auto window = static_cast<std::size_t>(o.window), inputs = ids.size() - 1;
  double total = 0;
  for (std::size_t begin = 0; begin < inputs; begin += window) {
    const std::size_t n = std::min(window, inputs - begin);
    session.truncate(0);
    session.feed_all(std::span(ids).subspan(begin, n), [&](std::size_t first, const float* rows, std::size_t count) {
      for (std::size_t i = 0; i < count; ++i)
        total += nll(rows + i * static_cast<std::size_t>(vocab), vocab, ids[begin + first + i + 1]);
    });
    progress.update("perplexity", begin + n, inputs);
  }
  const double mean = total / static_cast<double>(inputs);
  std::printf("{\"nll\": %.6f, \"ppl\": %.6f, \"tokens\": %zu}\n", mean, std::exp(mean), inputs);
  return 0;
}

}  // namespace atom::tools
