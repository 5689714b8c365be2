// Memory: what a model takes is known before a weight is read, refused where it does not fit, and what is then used.
#include <cstdio>
#include <gtest/gtest.h>
#include <numeric>

#include "atom/engine/executor.hpp"
#include "atom/engine/memory.hpp"
#include "atom/engine/session.hpp"
#include "atom/engine/universal.hpp"

#include "checkpoints.hpp"

namespace atom::engine {
namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

struct Loads final : Progress {
  void update(std::string_view, std::size_t, std::size_t) override { ++updates; }
  int updates = 0;
};

struct Model {
  explicit Model(test::RandomCheckpoint checkpoint = {}) {
    checkpoint.fill().write(dir.path());
    options.model_dir = dir.path();
    options.max_rows = 64;
    options.threads = 2;
    options.context_tokens = 4096;
  }
  test::TempDir dir;
  ExecutorOptions options;
};

std::size_t sum(const MemoryUse& m) {
  return m.weights + m.kv_cache + m.activations + m.sampling + m.rope_table + m.thread_scratch;
}

TEST(Bad45, ShortMemoryIsRefusedBeforeAWeightIsRead) {
  Model model;
  Loads loads;
  model.options.progress = &loads;
  model.options.memory_limit = 1 * mib;
  const std::string message = test::error_of([&] { const Executor e(model.options, universal_builds()); });
  EXPECT_EQ(loads.updates, 0);
  for (const char* part : {"memory: ", " are needed, this process may take 1 MiB:\n", "\n  weights ", "\n  KV cache ",
                           " for 4096 tokens\n", "\n  activations ", "\n  thread scratch ", "\n  sampling ", "\n  rope table ",
                           "\n  not counted ", "\nno context is short enough: use --quant int8, free memory"})
    EXPECT_NE(message.find(part), std::string::npos) << part << " in:\n" << message;
  EXPECT_TRUE(message.starts_with(model.dir.path())) << message;
}

TEST(Bad45, WhatTheMessageAdvisesFits) {
  Model model;
  model.options.context_tokens = 1 << 20;  // 1 GiB of cache
  model.options.memory_limit = 200 * mib;
  const std::string message = test::error_of([&] { const Executor e(model.options, universal_builds()); });
  const auto at = message.find("\na cache of ");
  ASSERT_NE(at, std::string::npos) << message;
  int fit = 0;
  ASSERT_EQ(std::sscanf(message.c_str() + at, "\na cache of %d tokens would fit: lower --max-model-len", &fit), 1) << message;
  EXPECT_GT(fit, 100'000);
  model.options.context_tokens = fit;
  EXPECT_NO_THROW(Executor(model.options, universal_builds()));
  model.options.context_tokens = fit + 4096;  // more than rounding hides
  EXPECT_THROW(Executor(model.options, universal_builds()), Error);
}

TEST(Bad45, EveryPartCounts) {
  const auto refused = [](const ExecutorOptions& o) {
    try {
      const Executor e(o, universal_builds());
    } catch (const Error&) {
      return true;
    }
    return false;
  };
  Model model;
  model.options.dry = true;
  model.options.memory_limit = 1;
  const std::size_t planned = sum(Executor(model.options, universal_builds()).memory());
  model.options.dry = false;
  model.options.memory_limit = planned + 12 * mib;  // six blocks, rounded to huge pages
  EXPECT_FALSE(refused(model.options));
  model.options.memory_limit = planned - 1;
  EXPECT_TRUE(refused(model.options));
}

TEST(Bad45, DummyWeightsArePlannedToo) {
  Model model;
  model.options.dummy = "empty";
  model.options.memory_limit = 1 * mib;
  EXPECT_THROW(Executor(model.options, universal_builds()), Error);
}

TEST(MemoryUse, RopeTableIsAsLongAsTheLongestSequence) {
  Model model;  // max_position 256
  model.options.dry = true;
  const auto rope = [&] { return Executor(model.options, universal_builds()).memory().rope_table; };
  EXPECT_EQ(rope(), 256u * 64 * 4) << "not as the cache of all sequences, 4096";
  model.options.max_model_len = 100;
  EXPECT_EQ(rope(), 100u * 64 * 4);
  model.options.context_tokens = 48;
  EXPECT_EQ(rope(), 48u * 64 * 4);
  model.options.max_model_len = 1000;
  EXPECT_EQ(Executor(model.options, universal_builds()).max_position(), 256) << "what the model was trained for";
}

TEST(MemoryUse, ASequenceEndsWhereTheRopeTableDoes) {
  Model model;
  model.options.max_model_len = 20;
  Executor executor(model.options, universal_builds());
  Session session(executor);
  EXPECT_EQ(session.room(), 20);
  std::vector<int> tokens(21, 1);
  EXPECT_THROW(session.feed(tokens), Error);
  tokens.pop_back();
  EXPECT_NO_THROW(session.feed(tokens));
  EXPECT_EQ(session.room(), 0);
}

// What of the process' own memory is resident, exactly (statm is some pages behind, and counts the program's file).
std::size_t resident() {
  std::size_t kib = 0;
  std::FILE* file = std::fopen("/proc/self/smaps_rollup", "r");
  if (!file) return 0;
  char line[256];
  while (std::fgets(line, sizeof line, file))
    if (std::sscanf(line, "Anonymous: %zu kB", &kib) == 1) break;
  std::fclose(file);
  return kib * 1024;
}

TEST(MemoryUse, CacheIsWhatIsUsed) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer keeps memory of its own beside all that is touched";
#endif
  if (resident() == 0) GTEST_SKIP() << "no /proc/self/smaps_rollup";
  Model model;                // of 2 layers
  model.options.threads = 1;  // a second one may touch its scratch in any step
  constexpr int page = kernels::page_tokens, rows = 512, seqs = rows / page, tokens = 1 << 16;
  model.options.max_rows = rows;
  model.options.max_seqs = model.options.max_logits = seqs;
  model.options.context_tokens = tokens;
  Executor executor(model.options, universal_builds());
  std::vector<int> ids(rows, 1), positions(rows), slots(rows), pages(seqs), first_row(seqs + 1), context(seqs, page), last(seqs);
  for (int i = 0; i < rows; ++i) positions[static_cast<std::size_t>(i)] = i % page;
  for (int i = 0; i <= seqs; ++i) first_row[static_cast<std::size_t>(i)] = i * page;
  for (int i = 0; i < seqs; ++i) last[static_cast<std::size_t>(i)] = i * page + page - 1;
  const auto fill = [&](int from) {  // one step: a page for each sequence
    std::iota(slots.begin(), slots.end(), from);
    std::iota(pages.begin(), pages.end(), from / page);
    executor.forward({ids.data(), positions.data(), slots.data(), pages.data(), first_row.data(), context.data(), last.data(), rows,
                      seqs, seqs, 1});
  };
  fill(0);  // scratch has been touched; of the cache, a page in every layer
  const std::size_t before = resident();
  for (int at = rows; at < tokens; at += rows) fill(at);
  const auto grown = static_cast<double>(resident() - before), planned = static_cast<double>(executor.memory().kv_cache);
  EXPECT_EQ(executor.memory().kv_cache, std::size_t{tokens} * 2 * 2 * 2 * 64 * 2) << "layers, K and V, heads, head_dim, bf16";
  const double first = planned * rows / tokens;                // what the first step brought, or,
  const double most = 2.0 * 2 * 2 * static_cast<double>(mib);  // with huge pages, up to one in each half of every layer
  EXPECT_LE(grown, planned * 1.01);
  EXPECT_GE(grown, planned * 0.99 - first - most);
}

}  // namespace
}  // namespace atom::engine
