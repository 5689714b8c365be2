#pragma once
// What Linux says of itself in small text files: numbers, lists of CPUs or nodes, the control groups of this process.
// One idea: a file that is missing, or that says something else than it should, says nothing; nobody is refused for it. Every
// function takes the folder that stands for "/", so that tests can make machines up.
// To extend: another format is another function here; what the numbers mean is the caller's.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace atom {

/// Without its end; at most 64 KiB are read. Empty: nothing there.
std::string first_line(const std::string& path);

/// Leading digits; 0 for "max", "-1" and nothing, and for numbers from 2^60: control groups say "no limit" with those.
std::uint64_t leading_number(std::string_view text);

/// "0-3,8" as 0 1 2 3 8: ascending, each once; "0-6:2" takes every second one. Nothing: that is no such list, or names more than
/// `most_cpus`.
std::optional<std::vector<int>> parse_cpu_list(std::string_view text);
inline constexpr int most_cpus = 1 << 16;

/// The opposite.
std::string cpu_list(const std::vector<int>& ids);

struct ControlGroup {
  std::string folder;
  bool unified;  // version 2
};
/// The control groups that limit `controller` ("cpu", "memory") for this process, its own first, then those above it. In a
/// container the names may be those of the host: then only the topmost folder is there, and it is this process's.
std::vector<ControlGroup> control_groups(const std::string& root, std::string_view controller);

}  // namespace atom
