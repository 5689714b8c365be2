#include "atom/core/system_files.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>

namespace atom {

std::string first_line(const std::string& path) {
  std::string text(std::size_t{1} << 16, '\0');
  std::ifstream in(path, std::ios::binary);
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  text.resize(std::min(text.find('\n'), text.size()));
  return text;
}

std::uint64_t leading_number(std::string_view text) {
  std::uint64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  return error == std::errc() && n < std::uint64_t{1} << 60 ? n : 0;
}

std::optional<std::vector<int>> parse_cpu_list(std::string_view text) {
  std::vector<int> ids;
  const char *at = text.data(), *const end = at + text.size();
  const auto number = [&](int& n, int least) {
    const auto [behind, error] = std::from_chars(at, end, n);
    const bool good = error == std::errc() && n >= least && n < most_cpus;
    at = behind;
    return good;
  };
  const auto next_is = [&](char c) { return at != end && *at == c && (++at, true); };
  do {
    int first = 0, last = 0, stride = 1;
    if (!number(first, 0)) return {};
    last = first;
    if (next_is('-') && (!number(last, first) || (next_is(':') && !number(stride, 1)))) return {};
    for (int i = first; i <= last; i += stride) ids.push_back(i);
    if (ids.size() > std::size_t{most_cpus}) return {};
  } while (next_is(','));
  if (at != end) return {};
  std::ranges::sort(ids);
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

std::string cpu_list(const std::vector<int>& ids) {
  std::string out;
  for (std::size_t i = 0; i < ids.size();) {
    std::size_t last = i;
    while (last + 1 < ids.size() && ids[last + 1] == ids[last] + 1) ++last;
    out += (out.empty() ? "" : ",") + std::to_string(ids[i]);
    if (last > i) out += "-" + std::to_string(ids[last]);
    i = last + 1;
  }
  return out;
}

std::vector<ControlGroup> control_groups(const std::string& root, std::string_view controller) {
  std::vector<ControlGroup> all;
  const std::string mounts = root + "/sys/fs/cgroup";
  const auto add_with_parents = [&](const std::string& mount, std::string path, bool unified) {
    if (path.find("..") != path.npos) path.clear();  // outside of what this process sees
    while (!path.empty() && path.back() == '/') path.pop_back();
    for (;; path.resize(path.rfind('/'))) {
      all.push_back({mount + path, unified});
      if (path.rfind('/') == path.npos) return;
    }
  };
  std::ifstream groups(root + "/proc/self/cgroup");  // "4:cpu,cpuacct:/path" in version 1, "0::/path" in version 2
  for (std::string line; std::getline(groups, line);) {
    const auto first = line.find(':'), second = first == line.npos ? first : line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
    if (controllers.empty()) {
      add_with_parents(mounts, path, true);
    } else if (("," + controllers + ",").find("," + std::string(controller) + ",") != std::string::npos) {
      add_with_parents(mounts + "/" + std::string(controller), path, false);
      if (controllers != controller) add_with_parents(mounts + "/" + controllers, path, false);
    }
  }
  return all;
}

}  // namespace atom
