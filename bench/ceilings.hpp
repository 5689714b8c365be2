#pragma once
// What this machine can do at best, measured in the same process and minutes as what is compared with it.
// One idea: a rate is the best of several short windows, over the threads of the pool that the kernels use.
// To extend: add a Unit and its loop in ceilings.cpp.
#include <cstddef>

#include "atom/core/thread_pool.hpp"

namespace atom::bench {

enum class Unit { fma256, fma512, bf16_dot, int8_dot, amx_bf16, amx_int8 };

/// GB/s of reading `memory` from DRAM: eight streams per thread with software prefetch. `bytes` should exceed the caches.
double read_bandwidth(ThreadPool& pool, const void* memory, std::size_t bytes);

/// GFLOP/s (or GOP/s) of one unit with operands in registers. The machine must have it.
double peak(ThreadPool& pool, Unit unit);

/// Random bits that are finite, normal numbers read as bf16, fp16 or float; zeros would draw less power and flatter the clock.
void fill(void* memory, std::size_t bytes);

/// Memory for operands, on huge pages where the system gives them, filled; lives until the process ends.
char* operands(std::size_t bytes);

}  // namespace atom::bench
