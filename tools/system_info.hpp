#pragma once
// What this machine offers the process: processors, memory, pages. As Linux says it; what it does not say is 0 or empty.
// One idea: limits of the process (affinity, control group) count as much as what the machine has.
// To extend: a member here and the file it is read from in system_info.cpp.
#include <cstddef>
#include <string>

#include "atom/core/processors.hpp"
#include "atom/engine/system_memory.hpp"

namespace atom::tools {

struct SystemInfo {
  std::string cpu_model;
  Processors cpus;
  engine::SystemMemory memory;
  std::string transparent_huge_pages;               // always, madvise, never
  std::size_t huge_pages = 0, huge_page_bytes = 0;  // reserved ones
};

/// cpu_mask: as the setting; empty: all that this process may use.
SystemInfo system_info(const std::string& cpu_mask);

}  // namespace atom::tools
