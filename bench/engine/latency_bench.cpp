// What the engine adds to a step, and what its prefix cache takes away; without a checkpoint, with the shape of Qwen3-0.6B.
//   bench_engine_latency [threads] [model directory: a config.json is enough]
// Prints the time to the first token of a prompt of 1,000 tokens and of the same prompt again (bar: 10 %), and the time of a token
// of one sequence by the engine and by the bare step, as in `atom bench`, taking turns (bar: 3 % more).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <random>
#include <vector>

#include "atom/engine/engine.hpp"
#include "atom/engine/executor.hpp"
#include "atom/engine/session.hpp"
#include "atom/engine/universal.hpp"

namespace {

using namespace atom;
using engine::LLMEngine, engine::Request, engine::SamplingParams;
using Clock = std::chrono::steady_clock;

constexpr int prompt_tokens = 1000, rounds = 7, steps = 32;

double ms(Clock::time_point start) { return std::chrono::duration<double, std::milli>(Clock::now() - start).count(); }

double median(std::vector<double> v) {
  std::ranges::nth_element(v, v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2));
  return v[v.size() / 2];
}

std::vector<int> some_tokens(unsigned seed, int vocab) {
  std::mt19937 random(seed);
  std::vector<int> ids(prompt_tokens);
  for (int& id : ids) id = static_cast<int>(random() % static_cast<unsigned>(vocab));
  return ids;
}

SamplingParams greedy(int tokens) {
  SamplingParams p;
  p.temperature = 0;
  p.max_tokens = tokens;
  p.ignore_eos = true;
  return p;
}

void first_tokens(LLMEngine& llm, int vocab) {
  std::vector<double> first, again;
  for (unsigned i = 0; i < rounds; ++i)
    for (auto* times : {&first, &again}) {
      const engine::Prompt prompt = some_tokens(i, vocab);
      times->push_back(1000 * llm.generate(std::span(&prompt, 1), greedy(1)).front().ttft);
    }
  const double a = median(first), b = median(again);
  std::printf("first token of %d   first %8.2f ms   again %8.2f ms   %.1f %%\n", prompt_tokens, a, b, 100 * b / a);
}

// Both decode from the same depth, a token each in turn. They share one cache, so the tokens mean nothing and the work is the same.
void token_times(engine::Executor& executor, LLMEngine& llm) {
  engine::Session session(executor);
  std::vector<double> bare, served, more;
  const auto prompt = some_tokens(99, executor.vocab());
  int token = session.sample(session.feed(prompt), {.temperature = 0});
  for (int r = 0; r < rounds; ++r) {
    session.truncate(prompt_tokens);
    (void)llm.add({.prompt = prompt, .params = greedy(steps)}, [](const engine::StreamOutput&) {});
    for (const auto before = llm.stats().tokens_generated; llm.stats().tokens_generated == before;) llm.step();
    for (bool running = true; running;) {
      auto start = Clock::now();
      token = session.sample(session.decode(token), {.temperature = 0});
      bare.push_back(ms(start));
      start = Clock::now();
      running = llm.step();
      served.push_back(ms(start));
      more.push_back(served.back() / bare.back());
    }
  }
  std::printf("a token at %d       bare  %8.3f ms   engine %7.3f ms   %+.2f %% (median of %zu pairs)\n", prompt_tokens,
              median(bare), median(served), 100 * (median(more) - 1), more.size());
}

}  // namespace

int main(int argc, char** argv) try {
  engine::ExecutorOptions o;
  o.model_dir = argc > 2 ? argv[2] : ATOM_BENCH_MODEL;
  o.dummy = "random";
  o.threads = argc > 1 ? std::atoi(argv[1]) : 0;
  o.context_tokens = (rounds + 2) * (prompt_tokens + 64);
  o.max_model_len = 2048;
  engine::Executor executor(o, engine::universal_builds());
  LLMEngine llm(executor, {}, {});
  std::printf("%s, %.0f M parameters\n", executor.build().name.c_str(), static_cast<double>(executor.parameters()) / 1e6);
  first_tokens(llm, executor.vocab());
  token_times(executor, llm);
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
