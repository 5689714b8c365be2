#include "atom/engine/system_memory.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <unistd.h>

namespace atom::engine {

namespace {

constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

// Leading digits; 0 for "max" and for nothing. Control groups say "no limit" in numbers near 2^63 too.
std::size_t number(const std::string& text) {
  const unsigned long long n = std::strtoull(text.c_str(), nullptr, 10);
  return n < 1ull << 60 ? static_cast<std::size_t>(n) : 0;
}

std::size_t first_number(const std::string& path) {
  std::string line;
  std::getline(std::ifstream(path), line);
  return number(line);
}

// "MemTotal:   123 kB", "inactive_file 123": the number after the key.
std::size_t number_of(const std::string& path, std::string_view key) {
  std::ifstream in(path);
  for (std::string word; in >> word;)
    if (word == key && in >> word) return number(word);
  return 0;
}

std::size_t less(std::size_t a, std::size_t b) { return a > b ? a - b : 0; }

// One control group: files it holds can be dropped, so they are not taken.
void narrow(SystemMemory& m, const std::string& folder, const char* limit, const char* used, const char* prefix) {
  const std::size_t most = first_number(folder + limit);
  if (most == 0) return;
  const std::string stat = folder + "/memory.stat";
  const std::size_t files =
      number_of(stat, std::string(prefix) + "inactive_file") + number_of(stat, std::string(prefix) + "active_file");
  const std::size_t left = less(most, less(first_number(folder + used), files));
  if (m.limit == 0 || left < m.limit_left) m.limit_left = left;
  if (m.limit == 0 || most < m.limit) m.limit = most;
}

// This process's group and those above it. In a container the path may be that of the host: then only the root is there.
template <class Visit> void each_group(std::string path, Visit visit) {
  while (!path.empty() && path.back() == '/') path.pop_back();
  for (;; path.resize(path.rfind('/'))) {
    visit(path);
    if (path.rfind('/') == path.npos) return;
  }
}

}  // namespace

SystemMemory system_memory() {
  SystemMemory m;
  m.total = number_of("/proc/meminfo", "MemTotal:") * 1024;
  m.available = number_of("/proc/meminfo", "MemAvailable:") * 1024;

  const std::string root = "/sys/fs/cgroup";
  std::ifstream groups("/proc/self/cgroup");  // "4:memory:/path", "0::/path"
  for (std::string line; std::getline(groups, line);) {
    const auto first = line.find(':'), second = first == line.npos ? first : line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
    if (controllers.empty())
      each_group(path, [&](const std::string& p) { narrow(m, root + p, "/memory.max", "/memory.current", ""); });
    else if (("," + controllers + ",").find(",memory,") != std::string::npos)
      each_group(path, [&](const std::string& p) {
        narrow(m, root + "/memory" + p, "/memory.limit_in_bytes", "/memory.usage_in_bytes", "total_");
      });
  }

  m.address_space_left = unlimited;
  rlimit space{};
  if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY)
    m.address_space_left = less(space.rlim_cur, first_number("/proc/self/statm") * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)));
  return m;
}

std::size_t usable_memory(const SystemMemory& m) {
  const std::size_t free = m.total ? m.available : unlimited, group = m.limit ? m.limit_left : unlimited;
  return std::min({free, group, m.address_space_left});
}

std::size_t usable_memory() { return usable_memory(system_memory()); }

}  // namespace atom::engine
