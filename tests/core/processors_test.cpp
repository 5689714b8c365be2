// CPUs, cores, memory nodes and control groups of machines that are made up: trees of small files.
#include "atom/core/processors.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <linux/mempolicy.h>
#include <numeric>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#include "atom/core/memory_nodes.hpp"
#include "atom/core/system_files.hpp"

#include "../engine/temp_dir.hpp"

namespace atom {
namespace {

using Ids = std::vector<int>;

Ids first_of(int n) {
  Ids ids(static_cast<std::size_t>(n));
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

// "/" of a machine.
class Machine {
 public:
  // `nodes` nodes of `cores` cores of `threads` CPUs each, numbered as Linux does: first all first ones, node by node.
  Machine(int nodes, int cores, int threads) : cpus(nodes * cores * threads) {
    file("sys/devices/system/cpu/online", "0-" + std::to_string(cpus - 1) + "\n");
    file("sys/devices/system/node/online", nodes > 1 ? "0-" + std::to_string(nodes - 1) + "\n" : "0\n");
    const int all = nodes * cores;
    for (int n = 0; n < nodes; ++n) {
      Ids mine;
      for (int t = 0; t < threads; ++t)
        for (int c = 0; c < cores; ++c) mine.push_back(t * all + n * cores + c);
      file("sys/devices/system/node/node" + std::to_string(n) + "/cpulist", cpu_list(mine) + "\n");
    }
    for (int cpu = 0; cpu < cpus; ++cpu) {
      Ids siblings;
      for (int t = 0; t < threads; ++t) siblings.push_back(cpu % all + t * all);
      file("sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list", cpu_list(siblings) + "\n");
    }
  }
  void file(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(root() + path).parent_path());
    dir_.write(path, text);
  }
  [[nodiscard]] std::string root() const { return dir_.path() + "/"; }
  [[nodiscard]] Processors read() const { return read(first_of(cpus)); }
  [[nodiscard]] Processors read(const Ids& allowed) const { return processors(dir_.path(), allowed); }

  const int cpus;

 private:
  test::TempDir dir_;
};

Ids cpus_of(const std::vector<Place>& places) {
  Ids all;
  for (const Place& p : places) all.insert(all.end(), p.cpus.begin(), p.cpus.end());
  return all;
}

TEST(SystemFiles, ListsOfCpus) {
  const struct {
    const char* text;
    Ids ids;
  } good[] = {{"0", {0}},          {"0-3,8", {0, 1, 2, 3, 8}}, {"8,0-1", {0, 1, 8}},
              {"1,1,0-1", {0, 1}}, {"0-6:2", {0, 2, 4, 6}},    {"65535", {65535}}};
  for (const auto& c : good) EXPECT_EQ(parse_cpu_list(c.text), c.ids) << c.text;
  for (const char* bad :
       {"", ",", "0,", "-1", "3-1", "0-", "0-3:0", "0-3:", "a", "0 1", "65536", "0-99999999999", "0x3", "1:2", "0-65535,0-65535"})
    EXPECT_EQ(parse_cpu_list(bad), std::nullopt) << bad;
  EXPECT_EQ(cpu_list({0, 1, 2, 3, 8, 10, 11}), "0-3,8,10-11");
  EXPECT_EQ(cpu_list({}), "");
}

TEST(SystemFiles, NumbersThatMeanNothing) {
  EXPECT_EQ(leading_number("150000 100000"), 150000u);
  for (const char* none : {"max 100000", "-1", "", "9223372036854771712", "99999999999999999999999"})
    EXPECT_EQ(leading_number(none), 0u) << none;
  EXPECT_EQ(first_line("/nowhere/at/all"), "");
  EXPECT_EQ(first_line("/"), "") << "a folder";
}

TEST(Processors, ReadsCoresAndNodes) {
  const Machine m(2, 4, 2);
  const Processors p = m.read();
  EXPECT_EQ(p.online.size(), 16u);
  EXPECT_EQ(p.usable.size(), 16u);
  EXPECT_EQ(p.cores(), 8);
  EXPECT_EQ(p.nodes(), (Ids{0, 1}));
  EXPECT_EQ(p.usable[13].core, 5);
  EXPECT_EQ(p.usable[13].node, 1);
  EXPECT_EQ(default_threads(p), 8);
  EXPECT_EQ(limit_of(p), "cores");
  EXPECT_EQ(limit_of(Machine(1, 4, 1).read()), "cpus");
}

TEST(Processors, AffinityNarrows) {
  const Machine m(1, 4, 2);
  const Processors siblings = m.read({1, 5}), apart = m.read({1, 2, 6, 77});
  EXPECT_EQ(default_threads(siblings), 1) << "two CPUs of one core";
  EXPECT_EQ(limit_of(siblings), "affinity");
  EXPECT_EQ(apart.usable.size(), 3u) << "77 is not online";
  EXPECT_EQ(default_threads(apart), 2);
}

TEST(Processors, QuotaOfVersionTwoIsTheTightestAbove) {
  const Machine m(1, 8, 1);
  m.file("proc/self/cgroup", "0::/a/b\n");
  m.file("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  EXPECT_EQ(m.read().quota, 0);
  EXPECT_EQ(default_threads(m.read()), 8);
  m.file("sys/fs/cgroup/a/cpu.max", "250000 100000\n");
  EXPECT_EQ(m.read().quota, 2.5);
  EXPECT_EQ(default_threads(m.read()), 2);
  EXPECT_EQ(limit_of(m.read()), "quota");
  m.file("sys/fs/cgroup/a/b/cpu.max", "20000 50000\n");
  EXPECT_EQ(m.read().quota, 0.4);
  EXPECT_EQ(default_threads(m.read()), 1);
  m.file("sys/fs/cgroup/a/b/cpu.max", "1600000 100000\n");
  EXPECT_EQ(m.read().quota, 2.5);
}

TEST(Processors, QuotaOfVersionOne) {
  const Machine m(1, 8, 1);
  m.file("proc/self/cgroup", "5:cpuset:/x\n4:cpu,cpuacct:/docker/abc\n3:memory:/\n0::/\n");
  m.file("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "-1\n");
  m.file("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(m.read().quota, 0);
  m.file("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "300000\n");
  EXPECT_EQ(m.read().quota, 3);
  // In a container the group has the host's name, and is the topmost folder.
  const Machine inside(1, 8, 1);
  inside.file("proc/self/cgroup", "4:cpu:/docker/abc\n");
  inside.file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "450000\n");
  inside.file("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(default_threads(inside.read()), 4);
  const Machine outside(1, 8, 1);
  outside.file("proc/self/cgroup", "0::/../../elsewhere\n");
  outside.file("sys/fs/cgroup/cpu.max", "100000 100000\n");
  EXPECT_EQ(outside.read().quota, 1);
}

TEST(Processors, BrokenTreesLimitNothing) {
  const test::TempDir nothing;
  const Processors bare = processors(nothing.path(), {0, 1, 5});
  EXPECT_EQ(bare.usable.size(), 3u);
  EXPECT_EQ(default_threads(bare), 3);
  EXPECT_EQ(bare.nodes(), (Ids{0}));
  const Machine m(1, 2, 1);
  m.file("sys/devices/system/cpu/online", std::string(100000, '9'));
  m.file("sys/devices/system/node/online", "0-4000000000\n");
  m.file("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "1\n");  // not itself
  m.file("proc/self/cgroup", "::\n0:\nnonsense\n0::/\n");
  m.file("sys/fs/cgroup/cpu.max", "100000 0\n");
  EXPECT_EQ(default_threads(m.read()), 2);
  EXPECT_EQ(m.read().quota, 0);
}

TEST(Processors, MaskChooses) {
  const Machine m(1, 4, 2);
  const Processors list = select(m.read(), "0-1,4"), hex = select(m.read(), "0x13");
  for (const Processors& p : {list, hex}) {
    ASSERT_EQ(p.usable.size(), 3u);
    EXPECT_EQ(p.usable[2].id, 4);
    EXPECT_EQ(default_threads(p), 3) << "one per CPU that was named";
    EXPECT_EQ(limit_of(p), "cpu_mask");
  }
  EXPECT_EQ(select(m.read(), "").usable.size(), 8u);
  EXPECT_EQ(select(m.read(), "0XfF").usable.size(), 8u);
}

TEST(Processors, MaskRefusesWhatIsNotThere) {
  const Machine m(1, 4, 2);
  for (const char* bad : {"x", "0-", "1;2", "0x", "0xfg", "3-1", " 1"})
    test::expect_error([&] { select(m.read(), bad); }, "--cpu-mask: expected CPUs as 0-3,8 or a mask as 0x10f, found \"");
  test::expect_error([&] { select(m.read(), "0x" + std::string(20000, 'f')); }, "--cpu-mask: expected CPUs");
  test::expect_error([&] { select(m.read(), "0x00"); }, "--cpu-mask: 0x00 names no CPU");
  test::expect_error([&] { select(m.read(), "0-8"); }, "--cpu-mask: CPU 8 does not exist; this machine has 0-7");
  test::expect_error(
      [&] {
        select(m.read({0, 1, 5}), "0-2");
      },
      "--cpu-mask: CPU 2 is not allowed to this process, which may use 0-1,5; name some of those");
}

TEST(Place, CoreByCore) {
  const Processors p = Machine(1, 4, 2).read();
  EXPECT_EQ(place(p, 1, 4)[0].cpus, (Ids{0, 1, 2, 3})) << "no two on a core";
  EXPECT_EQ(place(p, 1, 5)[0].cpus, (Ids{0, 4, 1, 2, 3}));
  const auto ranks = place(p, 2, 4);
  EXPECT_EQ(ranks[0].cpus, (Ids{0, 4, 1, 5})) << "whole cores for a rank";
  EXPECT_EQ(ranks[1].cpus, (Ids{2, 6, 3, 7}));
  EXPECT_TRUE(ranks[0].nodes.empty()) << "one node: nothing to choose";
}

TEST(Place, ARankStaysOnItsNode) {
  const Processors p = Machine(2, 4, 2).read();
  const auto two = place(p, 2, 3);
  EXPECT_EQ(two[0].cpus, (Ids{0, 1, 2}));
  EXPECT_EQ(two[0].nodes, (Ids{0}));
  EXPECT_EQ(two[1].cpus, (Ids{4, 5, 6}));
  EXPECT_EQ(two[1].nodes, (Ids{1}));
  const auto four = place(p, 4, 2);
  EXPECT_EQ(cpus_of(four), (Ids{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(four[1].nodes, (Ids{0}));
  EXPECT_EQ(four[2].nodes, (Ids{1}));
}

TEST(Place, OneRankSpreadsOverNodes) {
  const Processors p = Machine(2, 4, 2).read();
  const auto four = place(p, 1, 4), one = place(p, 1, 1);
  EXPECT_EQ(four[0].cpus, (Ids{0, 1, 4, 5})) << "the bandwidth of both";
  EXPECT_EQ(four[0].nodes, (Ids{0, 1}));
  EXPECT_EQ(one[0].nodes, (Ids{0}));
  const auto wide = place(Machine(4, 2, 1).read(), 2, 4);
  EXPECT_EQ(wide[0].nodes, (Ids{0, 1}));
  EXPECT_EQ(wide[1].nodes, (Ids{2, 3}));
}

TEST(Place, UnequalNodes) {
  const Processors p = Machine(2, 4, 1).read({0, 4, 5, 6, 7});  // one CPU of node 0, four of node 1
  const auto ranks = place(p, 2, 2);                            // node 0 has no room for a rank
  EXPECT_EQ(cpus_of(ranks), (Ids{0, 4, 5, 6}));
  EXPECT_EQ(ranks[0].nodes, (Ids{0, 1}));
  EXPECT_EQ(ranks[1].nodes, (Ids{1}));
}

// Whatever the machine and the ranks: every thread a CPU of its own, and nodes that are those of its CPUs.
TEST(Place, NobodySharesACpu) {
  for (const int nodes : {1, 2, 3})
    for (const int threads : {1, 2})
      for (const int cores : {1, 3}) {
        const Machine m(nodes, cores, threads);
        const Processors p = m.read();
        for (const int ranks : {1, 2, 3, 4, 8})
          for (const int each : {1, 2, 3, 7}) {
            const auto places = place(p, ranks, each);
            ASSERT_EQ(places.size(), static_cast<std::size_t>(ranks));
            Ids all = cpus_of(places);
            if (ranks * each > m.cpus) {
              EXPECT_TRUE(all.empty()) << "more threads than CPUs";
              continue;
            }
            std::ranges::sort(all);
            EXPECT_EQ(all.size(), static_cast<std::size_t>(ranks * each));
            EXPECT_EQ(std::ranges::adjacent_find(all), all.end());
            for (const Place& place : places) {
              Ids near;
              for (const int cpu : place.cpus) near.push_back(p.usable[static_cast<std::size_t>(cpu)].node);
              std::ranges::sort(near);
              near.erase(std::unique(near.begin(), near.end()), near.end());
              EXPECT_EQ(place.nodes, nodes > 1 ? near : Ids());
            }
          }
      }
}

TEST(Processors, ThisMachine) {
  const Processors p = processors();
  ASSERT_GE(p.usable.size(), 1u);
  EXPECT_LE(p.usable.size(), p.online.size());
  EXPECT_GE(default_threads(p), 1);
  EXPECT_LE(default_threads(p), static_cast<int>(p.usable.size()));
  EXPECT_EQ(cpus_for(1), (Ids{p.usable.front().id}));
  EXPECT_EQ(cpus_for(1 << 14), Ids());
}

// The kernel's answer, where it may be asked: some sandboxes refuse.
TEST(MemoryNodes, PolicyHoldsForItsScope) {
  int mode = -1;
  unsigned long mask[16] = {};
  const auto ask = [&](void* at, unsigned flags) {
    return syscall(SYS_get_mempolicy, &mode, mask, 1024, at, flags) == 0 ? mode : -1;
  };
  const int before = ask(nullptr, 0);
  if (before < 0 || syscall(SYS_set_mempolicy, before, nullptr, 0) != 0) GTEST_SKIP() << "no NUMA system calls here";
  const Ids node{0};
  int inherited = -1;
  {
    const NodeScope scope(node);
    EXPECT_EQ(ask(nullptr, 0), MPOL_PREFERRED);
    EXPECT_EQ(mask[0], 1u);
    std::thread worker([&] { inherited = ask(nullptr, 0); });
    worker.join();
  }
  EXPECT_EQ(inherited, MPOL_PREFERRED) << "threads that start meanwhile";
  EXPECT_EQ(ask(nullptr, 0), before);
  {
    const NodeScope nothing(Ids{});
    EXPECT_EQ(ask(nullptr, 0), before);
  }
  constexpr std::size_t bytes = 1 << 20;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  place_memory(memory, bytes, Ids{0, 1});  // an unknown node among known ones is left out, or all of it refused
  const int placed = ask(memory, MPOL_F_ADDR);
  EXPECT_TRUE(placed == MPOL_INTERLEAVE || placed == before) << placed;
  place_memory(memory, bytes, node);
  EXPECT_EQ(ask(memory, MPOL_F_ADDR), MPOL_PREFERRED);
  munmap(memory, bytes);
}

}  // namespace
}  // namespace atom
