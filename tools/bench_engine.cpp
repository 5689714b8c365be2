// atom bench engine: many requests in one process, a fixed number of them in flight; the next arrives when one ends.
// Lengths are drawn uniformly, by default nano-vllm's workload: 256 requests of 100 to 1024 tokens in, 100 to 1024 out, no end of
// text before that, temperature 0.6.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <random>

#include "atom/core/error.hpp"
#include "atom/core/processors.hpp"

#include "common.hpp"
#include "serving.hpp"
#include "speculation.hpp"
#include "statistics.hpp"

namespace atom::tools {

namespace {

struct Workload {
  std::vector<engine::Request> requests;
  int longest = 0;  // prompt and answer
};

struct Measured {
  std::string model;
  int concurrency = 0, threads = 0;
  std::size_t requests = 0, tokens_input = 0, tokens_output = 0;
  std::uint64_t steps = 0, preemptions = 0;
  engine::SpeculationStats drafts;
  double seconds = 0;
  std::vector<double> ttft, tpot, latency, step;

  [[nodiscard]] double output_rate() const { return static_cast<double>(tokens_output) / seconds; }
  [[nodiscard]] double total_rate() const { return static_cast<double>(tokens_input + tokens_output) / seconds; }
};

Workload workload(const BenchEngineOptions& o, int vocab) {
  std::mt19937_64 generator(o.seed);
  const auto uniform = [&](int low, int high) {  // the same on every machine, unlike uniform_int_distribution
    return low + static_cast<int>(generator() % static_cast<std::uint64_t>(high - low + 1));
  };
  const auto length = [&](const std::vector<int>& bounds) {
    return std::max(1, static_cast<int>(std::lround(uniform(bounds[0], bounds[1]) * o.scale)));
  };
  Workload w;
  for (int i = 0; i < o.requests; ++i) {
    std::vector<int> prompt(static_cast<std::size_t>(length(o.input_len)));
    for (int& id : prompt) id = uniform(0, vocab - 1);
    const int answer = length(o.output_len);
    w.longest = std::max(w.longest, static_cast<int>(prompt.size()) + answer);
    engine::SamplingParams p;
    p.temperature = o.temperature;
    p.max_tokens = answer;
    p.ignore_eos = true;
    p.seed = o.seed + static_cast<std::uint64_t>(i);
    w.requests.push_back({.prompt = std::move(prompt), .params = std::move(p)});
  }
  return w;
}

// Runs requests [first, last), at most `concurrency` at once.
Measured measure(engine::LLMEngine& engine, const std::vector<engine::Request>& requests, std::size_t concurrency) {
  Measured m;
  m.requests = requests.size();
  const auto before = engine.stats();
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t added = 0, ended = 0; ended < requests.size();) {
    for (; added < requests.size() && added - ended < concurrency; ++added)
      if (const auto admission = engine.add(requests[added]); !admission.ok()) throw Error(admission.error.message());
    const auto begin = std::chrono::steady_clock::now();
    engine.step();
    m.step.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    for (const engine::RequestOutput& r : engine.take_finished()) {
      ++ended;
      m.tokens_input += static_cast<std::size_t>(r.num_tokens_input);
      m.tokens_output += static_cast<std::size_t>(r.num_tokens_output);
      m.ttft.push_back(r.ttft);
      m.latency.push_back(r.latency);
      if (r.num_tokens_output > 1) m.tpot.push_back(r.tpot);
    }
  }
  m.seconds = std::max(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), 1e-9);
  const auto after = engine.stats();
  m.steps = after.steps - before.steps;
  m.preemptions = after.preemptions - before.preemptions;
  m.drafts = after.speculation;
  m.drafts -= before.speculation;
  return m;
}

std::string json_row(const Measured& m) {
  JsonObject o;
  o.text("model", m.model).number("concurrency", m.concurrency).number("threads", m.threads).number("requests", m.requests);
  o.number("tokens_input", m.tokens_input).number("tokens_output", m.tokens_output).number("seconds", m.seconds);
  o.number("output_tokens_per_second", m.output_rate()).number("total_tokens_per_second", m.total_rate());
  o.number("requests_per_second", static_cast<double>(m.requests) / m.seconds);
  o.number("steps", m.steps).number("preemptions", m.preemptions);
  const auto spread = [&](const char* name, const std::vector<double>& v) {
    JsonObject p;
    p.number("mean", mean(v)).number("p50", percentile(v, 50)).number("p90", percentile(v, 90)).number("p99", percentile(v, 99));
    o.raw(name, p.done());
  };
  spread("ttft", m.ttft);
  spread("tpot", m.tpot);
  spread("latency", m.latency);
  spread("step", m.step);
  if (m.drafts.enabled) o.raw("speculation", drafts_json(m.drafts));
  return o.done();
}

void print_row(const Measured& m, bool csv) {
  std::printf(csv ? "%d,%zu,%.3f,%.2f,%.2f" : "%11d %8zu %9.2f %11.1f %10.1f", m.concurrency, m.requests, m.seconds,
              m.output_rate(), m.total_rate());
  for (const auto* v : {&m.ttft, &m.tpot})
    for (const double percent : {50.0, 90.0, 99.0}) std::printf(csv ? ",%.3f" : " %9.1f", 1e3 * percentile(*v, percent));
  std::printf(csv ? ",%llu" : " %9llu", static_cast<unsigned long long>(m.preemptions));
  if (csv)
    std::printf(",%llu,%llu", static_cast<unsigned long long>(m.drafts.drafted()),
                static_cast<unsigned long long>(m.drafts.accepted()));
  else if (m.drafts.enabled)
    std::printf("\n%11s %s", "", drafts_text(m.drafts).c_str());
  std::putchar('\n');
  std::fflush(stdout);
}

void check(const BenchEngineOptions& o) {
  const auto bounds = [](const std::vector<int>& v, const char* flag) {
    if (v.size() != 2 || v[0] < 1 || v[1] < v[0] || v[1] > 1 << 24)
      throw Error(std::string(flag) + ": give the least and the most, as in 100,1024");
  };
  bounds(o.input_len, "--input-len");
  bounds(o.output_len, "--output-len");
  if (!(o.scale > 0 && o.scale <= 1000)) throw Error("--scale: must be above 0 and at most 1000");
  for (const int c : o.concurrency)
    if (c < 1 || c > 4096) throw Error("--concurrency: " + std::to_string(c) + " must be between 1 and 4096");
}

}  // namespace

int bench_engine(const BenchEngineOptions& o) {
  check(o);
  TerminalProgress progress;
  const auto options = executor_options(o.model, &progress);
  const auto config = engine::read_config(options.model_dir);
  warn_unknown(config.unknown_keys, options.model_dir + "/config.json");
  const Workload w = workload(o, config.spec.vocab);
  if (w.longest > config.numbers.max_position)
    throw Error("--scale: the longest request has " + std::to_string(w.longest) + " tokens, the model has " +
                std::to_string(config.numbers.max_position) + " positions; lower --scale, --input-len or --output-len");
  std::vector<Measured> all;
  if (o.output == "table")
    std::printf("%11s %8s %9s %11s %10s %29s %29s %9s\n%11s %8s %9s %11s %10s %9s %9s %9s %9s %9s %9s %9s\n", "", "", "", "output",
                "total", "TTFT, ms", "TPOT, ms", "", "concurrency", "requests", "seconds", "tokens/s", "tokens/s", "p50", "p90",
                "p99", "p50", "p90", "p99", "preempted");
  if (o.output == "csv")
    std::puts(
        "concurrency,requests,seconds,output_tokens_per_second,total_tokens_per_second,ttft_p50_ms,ttft_p90_ms,ttft_p99_ms,"
        "tpot_p50_ms,tpot_p90_ms,tpot_p99_ms,preemptions,drafted,accepted");
  for (const int concurrency : o.concurrency) {
    ModelOptions asked = o.model;
    if (asked.max_num_seqs == 0) asked.max_num_seqs = concurrency;
    asked.max_num_batched_tokens = std::max(asked.max_num_batched_tokens, asked.max_num_seqs);
    asked.max_model_len = std::max(w.longest, asked.max_model_len);
    auto engine = load_engine(asked, &progress);
    engine::Request warm_up = w.requests.front();
    warm_up.params.max_tokens = 2;
    measure(engine, {warm_up}, 1);
    engine.clear_prefix_cache();
    Measured m = measure(engine, w.requests, static_cast<std::size_t>(concurrency));
    m.model = model_name(options.model_dir);
    m.concurrency = concurrency;
    m.threads = options.threads ? options.threads : default_threads(select(processors(), options.cpu_mask));
    if (o.output != "json") print_row(m, o.output == "csv");
    all.push_back(std::move(m));
  }
  if (o.output == "json") print_json_array(all, json_row);
  return 0;
}

}  // namespace atom::tools
