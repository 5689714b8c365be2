// Host time of an engine step: scheduling, batch build, bookkeeping of draws and text, with a model that costs nothing.
//   bench_engine_step [sequences] [context] [model directory, for its tokenizer]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <vector>

#include "atom/engine/engine.hpp"

namespace {

using namespace atom;
using engine::EngineConfig, engine::LLMEngine, engine::SamplingParams, engine::StepModel;

class FreeModel final : public StepModel {
 public:
  FreeModel(int vocab, int seqs, int tokens)
      : vocab_(vocab), seqs_(seqs), tokens_(tokens), logits_(static_cast<std::size_t>(vocab)) {}
  float* forward(const Batch&) noexcept override { return logits_.data(); }
  void sample(const float*, const kernels::SampleParams* params, int* tokens, int rows) noexcept override {
    for (int i = 0; i < rows; ++i)
      tokens[i] = static_cast<int>((params[i].counter * 7919 + params[i].seed) % static_cast<std::uint64_t>(vocab_));
  }
  [[nodiscard]] int vocab() const override { return vocab_; }
  [[nodiscard]] int max_position() const override { return tokens_; }
  [[nodiscard]] int context_tokens() const override { return tokens_ * seqs_; }
  [[nodiscard]] int max_rows() const override { return 2048; }
  [[nodiscard]] int max_seqs() const override { return seqs_; }
  [[nodiscard]] int max_logits() const override { return 2048; }

 private:
  int vocab_, seqs_, tokens_;
  std::vector<float> logits_;
};

void measure(const char* what, int seqs, int context, std::optional<engine::Tokenizer> tokenizer, bool listens,
             const engine::SpeculativeConfig& drafts = {}) {
  constexpr int steps = 4000;
  const int vocab = tokenizer ? tokenizer->vocab_size() : 32000;
  FreeModel model(vocab, seqs, (context + steps + 64) / 16 * 16);
  LLMEngine llm(model, std::move(tokenizer), EngineConfig{.speculative_config = drafts});
  SamplingParams params;
  params.max_tokens = steps;
  params.ignore_eos = true;
  long bytes = 0;
  for (int i = 0; i < seqs; ++i) {
    params.seed = static_cast<std::uint64_t>(i);
    std::vector<int> prompt(static_cast<std::size_t>(context), i % vocab);
    engine::Request request{.prompt = std::move(prompt), .params = params};
    if (listens)
      (void)llm.add(std::move(request), [&](const engine::StreamOutput& o) { bytes += static_cast<long>(o.text.size()); });
    else
      (void)llm.add(std::move(request));
  }
  while (llm.stats().tokens_generated == 0 || llm.stats().waiting > 0) llm.step();
  std::vector<double> us;
  for (int i = 0; i < steps - 500; ++i) {
    const auto start = std::chrono::steady_clock::now();
    llm.step();
    us.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
  }
  std::ranges::sort(us);
  const auto at = [&](double q) { return us[static_cast<std::size_t>(q * static_cast<double>(us.size() - 1))]; };
  std::printf("%-22s %4d sequences, context %5d..: p50 %6.1f us  p99 %6.1f us  max %7.1f us\n", what, seqs, context, at(0.5),
              at(0.99), us.back());
}

}  // namespace

int main(int argc, char** argv) try {
  const int seqs = argc > 1 ? std::atoi(argv[1]) : 64, context = argc > 2 ? std::atoi(argv[2]) : 128;
  measure("ids", seqs, context, {}, false);
  engine::SpeculativeConfig drafts;  // which this model does not draw: every look-up reads the whole text
  drafts.method = "ngram";
  drafts.num_speculative_tokens = 4;
  measure("ids, drafts", seqs, context, {}, false, drafts);
  if (argc < 4) return 0;
  const auto tokenizer = engine::Tokenizer::from_dir(argv[3]);
  measure("text", seqs, context, tokenizer, false);
  measure("text, streamed", seqs, context, tokenizer, true);
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
