#pragma once
// Where a Cpu kernel's answer must not depend on the thread count, and must be right at every instruction-set level.
#include <gtest/gtest.h>
#include <memory>
#include <string>

#include "atom/core/cpu_features.hpp"
#include "atom/core/thread_pool.hpp"

namespace atom::test {

/// A pool that lives as long as the test program; scratch as large as any test asked for.
inline ThreadPool* pool(int threads, std::size_t scratch_bytes = 0) {
  static std::unique_ptr<ThreadPool> pools[8];
  auto& p = pools[threads];
  if (!p) p = std::make_unique<ThreadPool>(threads);
  p->reserve(scratch_bytes);
  return p.get();
}

/// Calls body() at every level this machine has, with the level in the failure message.
template <class Body> void at_every_level(Body body) {
  const cpu::Isa best = cpu::isa();
  for (const auto level : {cpu::Isa::avx2, cpu::Isa::avx512, cpu::Isa::avx512_bf16, cpu::Isa::amx}) {
    if (level > best) break;
    SCOPED_TRACE(std::string(cpu::name_of(level)));
    cpu::set_isa(level);
    body();
  }
  cpu::set_isa(best);
}

}  // namespace atom::test
