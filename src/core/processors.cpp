#include "atom/core/processors.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <sched.h>
#include <set>
#include <tuple>

#include "atom/core/error.hpp"
#include "atom/core/system_files.hpp"

namespace atom {

namespace {

// A cpu_set_t of as many CPUs as there may be; the type itself ends at 1024.
class CpuSet {
 public:
  static constexpr std::size_t bytes() { return most_cpus / 8; }
  cpu_set_t* data() { return bits_.data(); }
  void add(int cpu) { CPU_SET_S(static_cast<std::size_t>(cpu), bytes(), data()); }
  bool has(int cpu) { return CPU_ISSET_S(static_cast<std::size_t>(cpu), bytes(), data()); }

 private:
  std::array<cpu_set_t, most_cpus / CPU_SETSIZE> bits_{};
};

std::vector<int> affinity() {
  CpuSet set;
  std::vector<int> ids;
  if (sched_getaffinity(0, set.bytes(), set.data()) == 0)
    for (int i = 0; i < most_cpus; ++i)
      if (set.has(i)) ids.push_back(i);
  return ids;
}

std::vector<int> list_in(const std::string& path) { return parse_cpu_list(first_line(path)).value_or(std::vector<int>()); }

double quota_of(const ControlGroup& g) {
  std::uint64_t time = 0, period = 0;
  if (g.unified) {
    const std::string line = first_line(g.folder + "/cpu.max");  // "150000 100000", "max 100000"
    const auto space = line.find(' ');
    time = leading_number(line);
    period = space == line.npos ? 100000 : leading_number(std::string_view(line).substr(space + 1));
  } else {
    time = leading_number(first_line(g.folder + "/cpu.cfs_quota_us"));
    period = leading_number(first_line(g.folder + "/cpu.cfs_period_us"));
  }
  return time > 0 && period > 0 ? static_cast<double>(time) / static_cast<double>(period) : 0;
}

std::vector<int> bits_of(std::string_view hex) {
  std::vector<int> ids;
  for (std::size_t i = hex.size(); i-- > 0;) {
    const int c = std::tolower(static_cast<unsigned char>(hex[i])), digit = c <= '9' ? c - '0' : c - 'a' + 10;
    for (int bit = 0; bit < 4; ++bit)
      if (digit >> bit & 1) ids.push_back(static_cast<int>(hex.size() - 1 - i) * 4 + bit);
  }
  return ids;
}

std::vector<int> parse_mask(std::string_view text) {
  const auto refuse = [&]() -> std::vector<int> {
    throw Error("--cpu-mask: expected CPUs as 0-3,8 or a mask as 0x10f, found \"" + std::string(text) + "\"");
  };
  if (!text.starts_with("0x") && !text.starts_with("0X")) {
    auto list = parse_cpu_list(text);
    return list ? *list : refuse();
  }
  const std::string_view hex = text.substr(2);
  const bool digits = std::ranges::all_of(hex, [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; });
  if (hex.empty() || hex.size() > most_cpus / 4 || !digits) return refuse();
  auto ids = bits_of(hex);
  if (ids.empty()) throw Error("--cpu-mask: " + std::string(text) + " names no CPU; set the bits of those to use");
  return ids;
}

std::vector<int> ids_of(const std::vector<Processor>& list) {
  std::vector<int> ids;
  for (const Processor& p : list) ids.push_back(p.id);
  return ids;
}

std::vector<int> nodes_of(const std::vector<Processor>& list) {
  std::set<int> nodes;
  for (const Processor& p : list) nodes.insert(p.node);
  return {nodes.begin(), nodes.end()};
}

bool by_core(const Processor& a, const Processor& b) { return std::tuple(a.node, a.core, a.id) < std::tuple(b.node, b.core, b.id); }

// `count` of them, ascending by core: the first CPU of every core before any second one, from the nodes in turns.
std::vector<Processor> choose(std::vector<Processor> from, std::size_t count) {
  std::ranges::sort(from, by_core);
  std::map<int, int> of_core;                  // CPUs of a core so far
  std::map<std::pair<int, int>, int> of_node;  // and of those that are their core's first, second, ... the ones of a node
  std::vector<std::tuple<int, int, Processor>> turns;
  for (const Processor& p : from) {
    const int thread = of_core[p.core]++;
    turns.emplace_back(thread, of_node[{thread, p.node}]++, p);
  }
  std::ranges::stable_sort(turns, {}, [](const auto& t) { return std::pair(std::get<0>(t), std::get<1>(t)); });
  turns.resize(count);
  from.clear();
  for (const auto& t : turns) from.push_back(std::get<2>(t));
  std::ranges::sort(from, by_core);
  return from;
}

// The ranks in `groups` groups, each with nodes of its own; in a group one behind the other. Empty: some nodes have too few CPUs.
std::vector<std::vector<Processor>> divide(const Processors& all, const std::vector<int>& nodes, int groups, int ranks,
                                           int threads) {
  std::vector<std::vector<Processor>> out;
  const int n = static_cast<int>(nodes.size());
  for (int g = 0; g < groups; ++g) {
    const std::vector<int> mine(nodes.begin() + g * n / groups, nodes.begin() + (g + 1) * n / groups);
    std::vector<Processor> cpus = all.usable;
    std::erase_if(cpus, [&](const Processor& p) { return !std::ranges::binary_search(mine, p.node); });
    const int members = (g + 1) * ranks / groups - g * ranks / groups;
    const auto count = static_cast<std::size_t>(members) * static_cast<std::size_t>(threads);
    if (count > cpus.size()) return {};
    cpus = choose(std::move(cpus), count);
    for (auto at = cpus.begin(); at != cpus.end(); at += threads) out.emplace_back(at, at + threads);
  }
  return out;
}

}  // namespace

int Processors::cores() const {
  std::set<int> distinct;
  for (const Processor& p : usable) distinct.insert(p.core);
  return static_cast<int>(distinct.size());
}

std::vector<int> Processors::nodes() const { return nodes_of(usable); }

Processors processors() { return processors("", affinity()); }

Processors processors(const std::string& root, const std::vector<int>& allowed) {
  Processors all;
  const std::string devices = root + "/sys/devices/system/";
  all.online = list_in(devices + "cpu/online");
  if (all.online.empty()) all.online = allowed;
  std::map<int, int> node_of;
  for (const int node : list_in(devices + "node/online"))
    for (const int cpu : list_in(devices + "node/node" + std::to_string(node) + "/cpulist")) node_of[cpu] = node;
  for (const int id : allowed) {
    if (!std::ranges::binary_search(all.online, id)) continue;
    const auto siblings = list_in(devices + "cpu/cpu" + std::to_string(id) + "/topology/thread_siblings_list");
    const bool told = std::ranges::binary_search(siblings, id);
    const auto node = node_of.find(id);
    all.usable.push_back({id, told ? siblings.front() : id, node == node_of.end() ? 0 : node->second});
  }
  for (const ControlGroup& g : control_groups(root, "cpu"))
    if (const double q = quota_of(g); q > 0 && (all.quota == 0 || q < all.quota)) all.quota = q;
  return all;
}

Processors select(Processors all, std::string_view mask) {
  if (mask.empty()) return all;
  const std::vector<int> wanted = parse_mask(mask), allowed = ids_of(all.usable);
  for (const int id : wanted) {
    if (std::ranges::binary_search(allowed, id)) continue;
    const std::string cpu = "--cpu-mask: CPU " + std::to_string(id);
    if (!std::ranges::binary_search(all.online, id)) throw Error(cpu + " does not exist; this machine has " + cpu_list(all.online));
    throw Error(cpu + " is not allowed to this process, which may use " + cpu_list(allowed) +
                "; name some of those, or start it with a wider affinity or cpuset");
  }
  std::erase_if(all.usable, [&](const Processor& p) { return !std::ranges::binary_search(wanted, p.id); });
  all.named = true;
  return all;
}

int default_threads(const Processors& all) {
  const int cpus = all.named ? static_cast<int>(all.usable.size()) : all.cores();
  const int granted = all.quota > 0 ? static_cast<int>(std::min(all.quota, 1.0 * most_cpus)) : cpus;
  return std::max(1, std::min(cpus, granted));
}

std::string_view limit_of(const Processors& all) {
  const std::size_t cpus = all.usable.size();
  if (static_cast<std::size_t>(default_threads(all)) < (all.named ? cpus : static_cast<std::size_t>(all.cores()))) return "quota";
  if (all.named) return "cpu_mask";
  if (cpus < all.online.size()) return "affinity";
  return static_cast<std::size_t>(all.cores()) < cpus ? "cores" : "cpus";
}

std::vector<Place> place(const Processors& all, int ranks, int threads) {
  std::vector<Place> places(static_cast<std::size_t>(ranks));
  const std::vector<int> nodes = all.nodes();
  if (static_cast<std::size_t>(ranks) * static_cast<std::size_t>(threads) > all.usable.size()) {
    if (nodes.size() > 1)
      for (Place& p : places) p.nodes = nodes;
    return places;
  }
  auto chosen = divide(all, nodes, std::min(ranks, static_cast<int>(nodes.size())), ranks, threads);
  if (chosen.empty()) chosen = divide(all, nodes, 1, ranks, threads);
  for (std::size_t r = 0; r < places.size(); ++r) {
    places[r].cpus = ids_of(chosen[r]);
    if (nodes.size() > 1) places[r].nodes = nodes_of(chosen[r]);
  }
  return places;
}

std::vector<int> cpus_for(int threads) { return place(processors(), 1, threads).front().cpus; }

void confine(std::span<const int> cpus) noexcept {
  if (cpus.empty()) return;
  CpuSet set;
  for (const int c : cpus) set.add(c);
  sched_setaffinity(0, set.bytes(), set.data());
}

}  // namespace atom
