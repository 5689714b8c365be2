// Planned and used memory, with the shape of Qwen3-0.6B and no checkpoint: what Executor says it will take, and what the process
// holds once every page of the cache has been written.
//   bench_engine_memory [context tokens] [model directory: a config.json is enough]
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <numeric>
#include <vector>

#include "atom/engine/executor.hpp"
#include "atom/engine/universal.hpp"

namespace {

using namespace atom;

double resident() {  // MiB
  double kib = 0;
  if (std::FILE* file = std::fopen("/proc/self/smaps_rollup", "r")) {
    char line[256];
    while (std::fgets(line, sizeof line, file))
      if (std::sscanf(line, "Rss: %lf kB", &kib) == 1) break;
    std::fclose(file);
  }
  return kib / 1024;
}

double mib(std::size_t bytes) { return static_cast<double>(bytes) / 1048576; }

// Writes the whole cache: each step, every sequence brings the tokens of one page.
void fill(engine::Executor& executor, int seqs) {
  constexpr int page = kernels::page_tokens;
  const auto rows = static_cast<std::size_t>(seqs * page), n = static_cast<std::size_t>(seqs);
  std::vector<int> ids(rows, 1), positions(rows), slots(rows), pages(n), first_row(n + 1), context(n, page), last(n);
  for (std::size_t i = 0; i < rows; ++i) positions[i] = static_cast<int>(i % page);
  for (std::size_t i = 0; i <= n; ++i) first_row[i] = static_cast<int>(i * page);
  for (std::size_t i = 0; i < n; ++i) last[i] = first_row[i + 1] - 1;
  for (int at = 0; at + seqs * page <= executor.context_tokens(); at += seqs * page) {
    std::iota(slots.begin(), slots.end(), at);
    std::iota(pages.begin(), pages.end(), at / page);
    executor.forward({ids.data(), positions.data(), slots.data(), pages.data(), first_row.data(), context.data(), last.data(),
                      seqs * page, seqs, 1, 1});
  }
}

}  // namespace

int main(int argc, char** argv) try {
  constexpr int seqs = 32;
  engine::ExecutorOptions o;
  o.model_dir = argc > 2 ? argv[2] : ATOM_BENCH_MODEL;
  o.dummy = "random";
  o.context_tokens = argc > 1 ? std::atoi(argv[1]) / 512 * 512 : 8192;
  o.max_seqs = seqs;
  const double before = resident();
  engine::Executor executor(o, engine::universal_builds());
  const engine::MemoryUse& m = executor.memory();
  const double loaded = resident();
  fill(executor, seqs);
  const double full = resident();
  const double planned = mib(m.weights + m.kv_cache + m.states + m.activations + m.sampling + m.rope_table + m.thread_scratch);
  std::printf(
      "planned  weights %.1f  KV cache %.1f  activations %.1f  thread scratch %.1f  sampling %.1f  rope %.1f  in all %.1f MiB\n",
      mib(m.weights), mib(m.kv_cache), mib(m.activations), mib(m.thread_scratch), mib(m.sampling), mib(m.rope_table), planned);
  std::printf("resident after loading %.1f MiB, with a full cache %.1f MiB: %.2f %% of the plan\n", loaded - before, full - before,
              100 * (full - before) / planned);
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
