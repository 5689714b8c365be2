#pragma once
// Processors: the CPUs that this process may use, how many threads that makes, and where each of them runs.
// One idea: facts first (processors), one decision each behind them: how many (default_threads), which CPUs and whose memory
// (place). Facts come from files under a root, so that every decision is tested on made-up machines.
// To extend: another fact is a member of Processors; a decision reads it.
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace atom {

struct Processor {
  int id = 0;
  int core = 0;  // CPUs of one core share its arithmetic units; named by the lowest of them
  int node = 0;  // memory is near to the CPUs of its node
};

struct Processors {
  std::vector<int> online;        // of the machine
  std::vector<Processor> usable;  // of those, what this thread may run on; ascending
  double quota = 0;               // CPUs' worth of time that the tightest control group grants; 0: no limit
  bool named = false;             // by the user, one by one: see select()

  [[nodiscard]] int cores() const;               ///< distinct ones of `usable`
  [[nodiscard]] std::vector<int> nodes() const;  ///< the same, ascending
};

/// This machine, as the calling thread may use it.
Processors processors();
/// A machine under `root`, of which `allowed` is the affinity.
Processors processors(const std::string& root, const std::vector<int>& allowed);

/// Only the CPUs of `mask`: a list, 0-3,8, or hexadecimal digits of which each bit is a CPU, 0x10f. An empty one: all of them.
/// Throws atom::Error for anything else, and for a CPU that is not there or that this process may not use.
Processors select(Processors all, std::string_view mask);

/// One thread per core, because a core's threads share the units and the bandwidth that one of them fills; per CPU where the user
/// named them. Never more than the control group's time is enough for: a thread that is stopped stops those that wait for it.
int default_threads(const Processors& all);

/// What keeps that number from being larger: "quota", "cpu_mask", "affinity", "cores" or "cpus".
std::string_view limit_of(const Processors& all);

/// Where the threads of one rank run and where its memory should lie.
struct Place {
  std::vector<int> cpus;   // one per thread; empty: wherever the system likes
  std::vector<int> nodes;  // empty: there is nothing to choose
};
/// For `ranks` ranks of `threads` threads each. Every thread has a CPU of its own, one core after the other before two share one;
/// a rank stays on one node if the nodes have room for all ranks that fall to them, else it spreads over those it gets.
/// More threads than CPUs: nobody is pinned.
std::vector<Place> place(const Processors& all, int ranks, int threads);

/// For a pool alone: the CPUs of one rank on this machine.
std::vector<int> cpus_for(int threads);

/// Lets the calling thread, and those it starts, run on these CPUs only; none: wherever it may. A refusal costs speed only.
void confine(std::span<const int> cpus) noexcept;

}  // namespace atom
