// What memory a process may take: of the machine, its control groups and its own limits.
#include "atom/engine/system_memory.hpp"

#include <algorithm>
#include <filesystem>
#include <gtest/gtest.h>
#include <limits>
#include <string>
#include <vector>

#include "temp_dir.hpp"

namespace atom::engine {
namespace {

// Trees of small files, as in containers.
TEST(SystemMemory, LimitsOfControlGroups) {
  const auto tree = [](const std::vector<std::pair<std::string, std::string>>& files) {
    const test::TempDir dir;
    for (const auto& [name, text] : files) {
      std::filesystem::create_directories(std::filesystem::path(dir.path() + "/" + name).parent_path());
      dir.write(name, text);
    }
    return system_memory(dir.path());
  };
  const std::pair<std::string, std::string> machine{"proc/meminfo", "MemTotal:  4000 kB\nMemFree: 1 kB\nMemAvailable:  3000 kB\n"};
  const SystemMemory none = tree({machine, {"proc/self/cgroup", "0::/a/b\n"}, {"sys/fs/cgroup/a/b/memory.max", "max\n"}});
  EXPECT_EQ(none.total, 4000u * 1024);
  EXPECT_EQ(none.limit, 0u);
  EXPECT_EQ(usable_memory(none), std::min(none.address_space_left, std::size_t{3000} * 1024));
  const SystemMemory parent = tree({machine,
                                    {"proc/self/cgroup", "0::/a/b\n"},
                                    {"sys/fs/cgroup/a/b/memory.max", "900000\n"},
                                    {"sys/fs/cgroup/a/b/memory.current", "100000\n"},
                                    {"sys/fs/cgroup/a/memory.max", "800000\n"},
                                    {"sys/fs/cgroup/a/memory.current", "500000\n"},
                                    {"sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 150000\nactive_file 50000\n"}});
  EXPECT_EQ(parent.limit, 800000u);
  EXPECT_EQ(parent.limit_left, 500000u) << "files it holds can be dropped";
  const SystemMemory first = tree({machine,
                                   {"proc/self/cgroup", "5:cpu:/\n4:memory:/docker/of_the_host\n"},
                                   {"sys/fs/cgroup/memory/memory.limit_in_bytes", "700000\n"},
                                   {"sys/fs/cgroup/memory/memory.usage_in_bytes", "900000\n"},
                                   {"sys/fs/cgroup/memory/memory.stat", "total_inactive_file 300000\n"}});
  EXPECT_EQ(first.limit, 700000u);
  EXPECT_EQ(first.limit_left, 100000u);
  const SystemMemory endless =
      tree({{"proc/self/cgroup", "4:memory:/\n"}, {"sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"}});
  EXPECT_EQ(endless.limit, 0u);
}

TEST(SystemMemory, TheSmallestLimitWins) {
  constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();
  const struct {
    SystemMemory memory;
    std::size_t usable;
  } cases[] = {
      {{.total = 100, .available = 60, .address_space_left = unlimited}, 60},
      {{.total = 100, .available = 60, .limit = 50, .limit_left = 40, .address_space_left = unlimited}, 40},
      {{.total = 100, .available = 60, .limit = 50, .limit_left = 0, .address_space_left = unlimited}, 0},
      {{.total = 100, .available = 60, .limit = 90, .limit_left = 80, .address_space_left = 30}, 30},
      {{.total = 0, .available = 0, .address_space_left = unlimited}, unlimited},
  };
  for (const auto& c : cases) EXPECT_EQ(usable_memory(c.memory), c.usable);
  const SystemMemory m = system_memory();
  EXPECT_GT(m.total, std::size_t{64} << 20);
  EXPECT_LE(m.available, m.total);
  EXPECT_LE(usable_memory(), m.total);
}

}  // namespace
}  // namespace atom::engine
