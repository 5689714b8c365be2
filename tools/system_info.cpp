#include "system_info.hpp"

#include <fstream>
#include <string_view>

#include "atom/core/system_files.hpp"

namespace atom::tools {

namespace {

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

}  // namespace

SystemInfo system_info(const std::string& cpu_mask) {
  SystemInfo s;
  s.cpu_model = value_of("/proc/cpuinfo", "model name");
  s.cpus = select(processors(), cpu_mask);

  const auto kib = [](std::string_view key) { return leading_number(value_of("/proc/meminfo", key)) * 1024; };
  s.memory = engine::system_memory();
  s.huge_pages = leading_number(value_of("/proc/meminfo", "HugePages_Total"));
  s.huge_page_bytes = kib("Hugepagesize");

  const std::string thp = first_line("/sys/kernel/mm/transparent_hugepage/enabled");  // "always [madvise] never"
  const auto open = thp.find('['), close = thp.find(']');
  if (open < close && close != thp.npos) s.transparent_huge_pages = thp.substr(open + 1, close - open - 1);
  return s;
}

}  // namespace atom::tools
