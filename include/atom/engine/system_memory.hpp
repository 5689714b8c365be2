#pragma once
// What memory there is, and how much of it this process may still take.
// One idea: every limit counts, the smallest wins: free memory of the machine, the limits of the control groups this process is in,
// its own address space. What Linux does not say is 0 and limits nothing.
// To extend: another limit is another line in src/engine/system_memory.cpp.
#include <cstddef>
#include <string>

namespace atom::engine {

struct SystemMemory {                     // bytes
  std::size_t total = 0, available = 0;   // of the machine; available: without swapping, page cache counted as free
  std::size_t limit = 0, limit_left = 0;  // of the tightest control group; limit 0: none
  std::size_t address_space_left = 0;     // of RLIMIT_AS; the largest std::size_t: unlimited
};

/// root: the folder that stands for "/", for tests; address space is that of this process in any case.
SystemMemory system_memory(const std::string& root = {});

/// Bytes that this process may still take: what weights, cache and scratch of a model must fit into.
/// The largest std::size_t when the system says nothing.
std::size_t usable_memory();
std::size_t usable_memory(const SystemMemory& memory);

}  // namespace atom::engine
