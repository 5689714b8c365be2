// atom bench: tokens per second of one sequence on the bare step. pp: a prompt of so many tokens, tg: so many tokens one by one
// (drawn greedily), each after `depth` tokens that are in the cache already.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "atom/core/error.hpp"
#include "atom/engine/json.hpp"
#include "atom/engine/session.hpp"

#include "common.hpp"
#include "statistics.hpp"

namespace atom::tools {

namespace {

struct Measured {
  std::string model, build, test;
  std::size_t parameters;
  int threads;
  int prompt, generated, depth;
  std::vector<double> rates;  // tokens per second, one of each repetition
};

double deviation(const std::vector<double>& v) {
  if (v.size() < 2) return 0;
  const double m = mean(v);
  const double sum = std::accumulate(v.begin(), v.end(), 0.0, [m](double a, double x) { return a + (x - m) * (x - m); });
  return std::sqrt(sum / static_cast<double>(v.size() - 1));
}

std::vector<int> some_tokens(int n, int vocab) {
  std::vector<int> ids(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int>(i * 2654435761u % static_cast<unsigned>(vocab));
  return ids;
}

// One test on one model: a warm-up, then `repetitions` timed runs, all from the same depth.
std::vector<double> measure(engine::Session& session, int vocab, const Measured& t, int repetitions) {
  session.truncate(0);
  if (t.depth) session.feed(some_tokens(t.depth, vocab));
  const auto prompt = some_tokens(t.prompt, vocab);
  std::vector<double> rates;
  for (int r = -1; r < repetitions; ++r) {
    session.truncate(t.depth);
    const auto start = std::chrono::steady_clock::now();
    if (t.prompt) session.host(session.feed(prompt));  // timed until they are there
    for (int i = 0, token = 1; i < t.generated; ++i) token = session.sample(session.decode(token), {.temperature = 0});
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (r >= 0) rates.push_back((t.prompt + t.generated) / std::max(seconds, 1e-9));
  }
  return rates;
}

std::string test_name(int prompt, int generated, int depth) {
  return (prompt ? "pp" + std::to_string(prompt) : "tg" + std::to_string(generated)) +
         (depth ? " @ d" + std::to_string(depth) : std::string());
}

void print_table_row(const Measured& m) {
  std::printf("| %-24s | %8.2f M | %-28s | %7d | %16s | %10.2f ± %-8.2f | %10.2f |\n", m.model.c_str(),
              static_cast<double>(m.parameters) / 1e6, m.build.c_str(), m.threads, m.test.c_str(), mean(m.rates),
              deviation(m.rates), median(m.rates));
}

std::string quoted(const std::string& text) {  // CSV
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

void print_csv_row(const Measured& m) {
  std::printf("%s,%zu,%s,%d,%s,%d,%d,%d,%zu,%.3f,%.3f,%.3f\n", quoted(m.model).c_str(), m.parameters, quoted(m.build).c_str(),
              m.threads, quoted(m.test).c_str(), m.prompt, m.generated, m.depth, m.rates.size(), mean(m.rates), deviation(m.rates),
              median(m.rates));
}

std::string json_row(const Measured& m) {
  JsonObject o;
  o.text("model", m.model).number("parameters", m.parameters).text("build", m.build).number("threads", m.threads);
  o.text("test", m.test).number("prompt", m.prompt).number("generated", m.generated).number("depth", m.depth);
  o.number("mean", mean(m.rates))
      .number("stddev", deviation(m.rates))
      .number("median", median(m.rates))
      .numbers("samples", m.rates);
  return o.done();
}

void check(const BenchOptions& o) {
  const auto all = [](const std::vector<int>& v, int least, const char* flag) {
    for (const int x : v)
      if (x < least || x > 1 << 24)
        throw Error(std::string(flag) + ": " + std::to_string(x) + " must be " + std::to_string(least) +
                    " or more, and at most 16777216");
  };
  all(o.prompts, 0, "--prompt-tokens");
  all(o.generated, 0, "--gen-tokens");
  all(o.depths, 0, "--depth");
  all(o.threads, 0, "--threads");
  if (o.repetitions < 1) throw Error("--repetitions: must be at least 1");
}

}  // namespace

int bench(const BenchOptions& o) {
  check(o);
  TerminalProgress progress;
  auto options = executor_options(o.model, &progress);
  const auto config = engine::read_config(options.model_dir);
  warn_unknown(config.unknown_keys, options.model_dir + "/config.json");
  const int longest = std::max(*std::ranges::max_element(o.prompts), *std::ranges::max_element(o.generated));
  const int needed = std::max(*std::ranges::max_element(o.depths) + longest, 1);
  if (needed > config.numbers.max_position)
    throw Error("--depth: the deepest test needs " + std::to_string(needed) + " positions, the model has " +
                std::to_string(config.numbers.max_position));
  options.context_tokens = std::max(o.model.max_model_len, needed);
  options.max_rows = o.max_num_batched_tokens;

  std::vector<Measured> all;
  if (o.output == "table")
    std::printf("| %-24s | %10s | %-28s | %7s | %16s | %21s | %10s |\n|%s|%s:|%s|%s:|%s:|%s:|%s:|\n", "model", "parameters",
                "build", "threads", "test", "tokens/s", "median", std::string(26, '-').c_str(), std::string(11, '-').c_str(),
                std::string(30, '-').c_str(), std::string(8, '-').c_str(), std::string(17, '-').c_str(),
                std::string(22, '-').c_str(), std::string(11, '-').c_str());
  if (o.output == "csv") std::puts("model,parameters,build,threads,test,prompt,generated,depth,repetitions,mean,stddev,median");
  for (const int threads : o.threads) {
    options.threads = threads;
    engine::Executor executor(options, *o.model.builds);
    engine::Session session(executor);
    const auto test = [&](int prompt, int generated, int depth) {
      Measured m{model_name(options.model_dir),
                 executor.build().name,
                 test_name(prompt, generated, depth),
                 executor.parameters(),
                 executor.threads(),
                 prompt,
                 generated,
                 depth,
                 {}};
      m.rates = measure(session, config.spec.vocab, m, o.repetitions);
      if (o.output == "table") print_table_row(m);
      if (o.output == "csv") print_csv_row(m);
      std::fflush(stdout);
      all.push_back(std::move(m));
    };
    for (const int depth : o.depths) {
      for (const int n : o.prompts)
        if (n > 0) test(n, 0, depth);
      for (const int n : o.generated)
        if (n > 0) test(0, n, depth);
    }
  }
  if (o.output == "json") print_json_array(all, json_row);
  return 0;
}

}  // namespace atom::tools
