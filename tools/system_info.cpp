#include "system_info.hpp"

#include <cstdlib>
#include <fstream>
#include <sched.h>
#include <string_view>
#include <unistd.h>

namespace atom::tools {

namespace {

std::string first_line(const std::string& path) {
  std::string line;
  std::getline(std::ifstream(path), line);
  return line;
}

// "MemTotal:   123 kB", "model name : x": what follows the colon in the first line that begins with the key.
std::string value_of(const std::string& path, std::string_view key) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(key)) {
      const auto colon = line.find(':'), text = line.find_first_not_of(" \t", colon == line.npos ? colon : colon + 1);
      return text == line.npos ? std::string() : line.substr(text);
    }
  return {};
}

// Leading digits; 0 for "max" and for nothing. Control groups say "no limit" in numbers near 2^63 too.
std::size_t number(const std::string& text) {
  const unsigned long long n = std::strtoull(text.c_str(), nullptr, 10);
  return n < 1ull << 60 ? static_cast<std::size_t>(n) : 0;
}

}  // namespace

SystemInfo system_info() {
  SystemInfo s;
  s.cpu_model = value_of("/proc/cpuinfo", "model name");
  s.cpus_online = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  cpu_set_t set;
  CPU_ZERO(&set);
  s.cpus_usable = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : s.cpus_online;

  const std::string groups = "/sys/fs/cgroup/";
  const std::string quota = first_line(groups + "cpu.max");  // "<microseconds> <of period>"
  double of = 100000, most = static_cast<double>(number(quota));
  if (const auto space = quota.find(' '); space != quota.npos) of = static_cast<double>(number(quota.substr(space + 1)));
  if (quota.empty()) {
    most = static_cast<double>(number(first_line(groups + "cpu/cpu.cfs_quota_us")));
    of = static_cast<double>(number(first_line(groups + "cpu/cpu.cfs_period_us")));
  }
  s.cpu_quota = of > 0 ? most / of : 0;

  const auto kib = [](std::string_view key) { return number(value_of("/proc/meminfo", key)) * 1024; };
  s.memory = engine::system_memory();
  s.huge_pages = number(value_of("/proc/meminfo", "HugePages_Total"));
  s.huge_page_bytes = kib("Hugepagesize");

  const std::string thp = first_line("/sys/kernel/mm/transparent_hugepage/enabled");  // "always [madvise] never"
  const auto open = thp.find('['), close = thp.find(']');
  if (open < close && close != thp.npos) s.transparent_huge_pages = thp.substr(open + 1, close - open - 1);
  return s;
}

}  // namespace atom::tools
