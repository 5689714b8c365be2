#pragma once
// What the Cpu kernels' benches share: one pool, memory that is read from DRAM, and counters from an op's own cost().
// ATOM_BENCH_THREADS=n sets the threads of the pool (default: all).
#include <algorithm>
#include <benchmark/benchmark.h>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "atom/core/backend.hpp"
#include "atom/core/cost.hpp"
#include "atom/core/cpu_features.hpp"
#include "atom/core/processors.hpp"
#include "atom/core/run.hpp"

#include "ceilings.hpp"

namespace atom::bench {

struct Machine {
  static constexpr std::size_t memory_bytes = std::size_t{256} << 20;
  int threads;
  ThreadPool pool;
  char* memory;  // N(0, 1) in the type asked for, see filled()
  double gbps;   // read bandwidth of DRAM

  Machine() : threads(thread_count()), pool((cpu::isa(), threads), cpus_for(threads)), memory(operands(memory_bytes)) {
    gbps = read_bandwidth(pool, memory, memory_bytes);
  }
  static int thread_count() {
    const char* n = std::getenv("ATOM_BENCH_THREADS");
    return n ? std::atoi(n) : default_threads(processors());
  }
};
inline Machine& machine() {
  static Machine m;
  return m;
}

/// The whole memory as N(0, 1) values of type T (a pattern of 64 Ki of them, repeated).
template <class T> T* filled() {
  Machine& m = machine();
  std::vector<T> pattern(65536);
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  for (auto& x : pattern) x = T(normal(generator));
  const std::size_t bytes = pattern.size() * sizeof(T);
  for (std::size_t at = 0; at < Machine::memory_bytes; at += bytes)
    std::memcpy(m.memory + at, static_cast<const void*>(pattern.data()), std::min(bytes, Machine::memory_bytes - at));
  return reinterpret_cast<T*>(m.memory);
}

inline void report(benchmark::State& state, const Cost& cost) {
  using benchmark::Counter;
  const auto n = static_cast<double>(state.iterations());
  state.counters["GB/s"] = Counter(cost.bytes * n * 1e-9, Counter::kIsRate);
  state.counters["%peak_bw"] = Counter(100 * cost.bytes * n * 1e-9 / machine().gbps, Counter::kIsRate);
  if (cost.flops > 0) state.counters["GFLOP/s"] = Counter(cost.flops * n * 1e-9, Counter::kIsRate);
}

template <class Op, class Run> void add(const std::string& shape, Run run) {
  const std::string name = std::string(std::string_view(Op::name())) + "/cpu/" + shape;
  benchmark::RegisterBenchmark(name.c_str(), run)->UseRealTime()->Unit(benchmark::kMicrosecond);
}

}  // namespace atom::bench
