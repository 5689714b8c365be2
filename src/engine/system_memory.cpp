#include "atom/engine/system_memory.hpp"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <unistd.h>

#include "atom/core/system_files.hpp"

namespace atom::engine {

namespace {

constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

std::size_t number_in(const std::string& path) { return leading_number(first_line(path)); }

// "MemTotal:   123 kB", "inactive_file 123": the number after the key.
std::size_t number_of(const std::string& path, std::string_view key) {
  std::ifstream in(path);
  for (std::string word; in >> word;)
    if (word == key && in >> word) return leading_number(word);
  return 0;
}

std::size_t less(std::size_t a, std::size_t b) { return a > b ? a - b : 0; }

// One control group: files it holds can be dropped, so they are not taken.
void narrow(SystemMemory& m, const std::string& folder, const char* limit, const char* used, const char* prefix) {
  const std::size_t most = number_in(folder + limit);
  if (most == 0) return;
  const std::string stat = folder + "/memory.stat";
  const std::size_t files =
      number_of(stat, std::string(prefix) + "inactive_file") + number_of(stat, std::string(prefix) + "active_file");
  const std::size_t left = less(most, less(number_in(folder + used), files));
  if (m.limit == 0 || left < m.limit_left) m.limit_left = left;
  if (m.limit == 0 || most < m.limit) m.limit = most;
}

}  // namespace

SystemMemory system_memory(const std::string& root) {
  SystemMemory m;
  m.total = number_of(root + "/proc/meminfo", "MemTotal:") * 1024;
  m.available = number_of(root + "/proc/meminfo", "MemAvailable:") * 1024;
  for (const ControlGroup& g : control_groups(root, "memory"))
    if (g.unified)
      narrow(m, g.folder, "/memory.max", "/memory.current", "");
    else
      narrow(m, g.folder, "/memory.limit_in_bytes", "/memory.usage_in_bytes", "total_");

  m.address_space_left = unlimited;
  rlimit space{};
  if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY)
    m.address_space_left = less(space.rlim_cur, number_in("/proc/self/statm") * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)));
  return m;
}

std::size_t usable_memory(const SystemMemory& m) {
  const std::size_t free = m.total ? m.available : unlimited, group = m.limit ? m.limit_left : unlimited;
  return std::min({free, group, m.address_space_left});
}

std::size_t usable_memory() { return usable_memory(system_memory()); }

}  // namespace atom::engine
