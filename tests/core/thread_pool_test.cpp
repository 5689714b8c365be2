#include "atom/core/thread_pool.hpp"

#include <atomic>
#include <cstdint>
#include <gtest/gtest.h>
#include <sched.h>
#include <thread>
#include <vector>

#include "atom/core/cpu_features.hpp"
#include "atom/core/error.hpp"
#include "atom/core/processors.hpp"

namespace atom {
namespace {

TEST(ThreadPool, EveryChunkRunsOnce) {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    ASSERT_EQ(pool.threads(), threads);
    for (int chunks : {0, 1, 2, 7, 1000}) {
      std::vector<int> runs(static_cast<std::size_t>(chunks));  // plain ints: a chunk run twice at once is a race
      std::atomic<bool> thread_in_range{true};
      pool.parallel(chunks, [&](int chunk, int thread) {
        ++runs[static_cast<std::size_t>(chunk)];
        if (thread < 0 || thread >= threads) thread_in_range = false;
      });
      EXPECT_EQ(runs, std::vector<int>(static_cast<std::size_t>(chunks), 1)) << threads << " threads, " << chunks << " chunks";
      EXPECT_TRUE(thread_in_range);
    }
  }
}

// Back-to-back jobs, whose bodies die at once: a late worker must neither touch an old body nor skip a chunk.
TEST(ThreadPool, ManyShortJobs) {
  ThreadPool pool(4);
  std::int64_t total = 0;
  for (int job = 0; job < 20000; ++job) {
    std::int64_t part[3] = {};
    pool.parallel(3, [&part, job](int chunk, int) { part[chunk] = job + chunk; });
    total += part[0] + part[1] + part[2];
  }
  EXPECT_EQ(total, 3 * (std::int64_t{20000} * 19999 / 2) + 3 * 20000);
}

TEST(ThreadPool, WorkersAreUsed) {
  ThreadPool pool(2);
  std::atomic<int> met{0};
  pool.parallel(2, [&](int, int) {  // both chunks must be in flight together for either to return
    ++met;
    while (met.load() < 2) std::this_thread::yield();
  });
  EXPECT_EQ(met.load(), 2);
}

TEST(ThreadPool, WakesAfterParking) {
  ThreadPool pool(3);
  for (int job = 0; job < 5; ++job) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));  // long enough for every worker to sleep
    std::atomic<int> met{0};
    pool.parallel(3, [&](int, int) {
      ++met;
      while (met.load() < 3) std::this_thread::yield();
    });
    EXPECT_EQ(met.load(), 3);
  }
}

// Two ranks with a pool each and more threads than this machine may have cores.
TEST(ThreadPool, OversubscribedPoolsMakeProgress) {
  std::atomic<std::int64_t> sum{0};
  const auto rank = [&] {
    ThreadPool pool(3);
    for (int job = 0; job < 500; ++job) pool.parallel(16, [&](int chunk, int) { sum += chunk; });
  };
  std::thread a(rank), b(rank);
  a.join();
  b.join();
  EXPECT_EQ(sum.load(), 2 * 500 * 120);
}

TEST(ThreadPool, CallerKeepsItsAffinity) {
  cpu_set_t before, after;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  ThreadPool pool(2, processors().usable.size() > 1 ? cpus_for(2) : std::vector<int>{0, 0});
  pool.parallel(8, [](int, int) {});
  ASSERT_EQ(sched_getaffinity(0, sizeof after, &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
}

TEST(ThreadPool, PinsWorkersToTheirCpus) {
  const int last = processors().usable.back().id;
  ThreadPool pool(2, std::vector<int>{processors().usable.front().id, last});
  std::atomic<int> met{0}, worker_cpus{0}, worker_cpu{-1};
  for (int job = 0; job < 5; ++job) {
    met = 0;
    pool.parallel(2, [&](int, int thread) {
      ++met;
      while (met.load() < 2) std::this_thread::yield();
      cpu_set_t mine;
      if (thread != 1 || sched_getaffinity(0, sizeof mine, &mine) != 0) return;
      worker_cpus = CPU_COUNT(&mine);
      worker_cpu = sched_getcpu();
    });
  }
  EXPECT_EQ(worker_cpus.load(), 1);
  EXPECT_EQ(worker_cpu.load(), last);
}

// Threads that wait for work are asleep after a moment: no CPU time goes by, however many they are.
TEST(ThreadPool, IdleThreadsSleep) {
  const auto cpu_seconds = [] {
    timespec t{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  };
  ThreadPool pool(8);
  pool.parallel(64, [](int, int) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(200));  // each gives up within milliseconds, on a busy machine later
  const double before = cpu_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_LT(cpu_seconds() - before, 0.03);
}

TEST(ThreadPool, ScratchIsAlignedSeparateAndKept) {
  ThreadPool pool(3);
  pool.reserve(1000);
  pool.reserve(10);
  for (std::size_t bytes : {std::size_t{1000}, std::size_t{3'000'001}}) {
    pool.reserve(bytes);
    for (int t = 0; t < 3; ++t) {
      auto* p = static_cast<unsigned char*>(pool.scratch(t));
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(p) % 64, 0u);
      for (std::size_t i = 0; i < bytes; ++i) p[i] = static_cast<unsigned char>(t + 1);
    }
    for (int t = 0; t < 3; ++t) {
      const auto* p = static_cast<const unsigned char*>(pool.scratch(t));
      for (std::size_t i = 0; i < bytes; ++i) ASSERT_EQ(p[i], t + 1);
    }
  }
}

TEST(ThreadPool, RefusesNoThreadsAndImpossibleScratch) {
  EXPECT_THROW(ThreadPool(0), Error);
  EXPECT_THROW(ThreadPool(3, std::vector<int>{0, 1}), Error);
  ThreadPool pool(2);
  EXPECT_THROW(pool.reserve(~std::size_t{0} - 100), std::bad_alloc);
  EXPECT_THROW(pool.reserve(~std::size_t{0} / 2), std::bad_alloc);
}

TEST(CpuFeatures, NamesRoundTripAndLevelsAreOrdered) {
  const cpu::Isa best = cpu::detect();
  const cpu::Isa before = cpu::isa();
  for (cpu::Isa level : {cpu::Isa::avx2, cpu::Isa::avx512, cpu::Isa::avx512_bf16, cpu::Isa::amx}) {
    if (level <= best) {
      cpu::set_isa(cpu::name_of(level));
      EXPECT_EQ(cpu::isa(), level);
    } else {
      EXPECT_THROW(cpu::set_isa(level), Error);
    }
  }
  EXPECT_THROW(cpu::set_isa("sse2"), Error);
  cpu::set_isa(before);
}

}  // namespace
}  // namespace atom
