#pragma once
// Which NUMA nodes memory comes from.
// One idea: one node is preferred, several are taken in turns; none changes nothing. All of it is advice to the kernel, before a
// page is touched for the first time: where it is refused, everything works, slower. System calls, no library.
#include <cstddef>
#include <span>

namespace atom {

/// Pages of [memory, memory + bytes) that nobody has touched yet. `memory` lies on a page.
void place_memory(void* memory, std::size_t bytes, std::span<const int> nodes) noexcept;

/// What this thread, and threads that it starts meanwhile, for their lives, touch first. The end restores what was.
class NodeScope {
 public:
  explicit NodeScope(std::span<const int> nodes) noexcept;
  ~NodeScope();
  NodeScope(const NodeScope&) = delete;
  NodeScope& operator=(const NodeScope&) = delete;

 private:
  static constexpr int longs = 16;  // 1024 nodes
  int mode_ = -1;                   // -1: there is nothing to restore
  unsigned long nodes_[longs] = {};
};

/// The same for good: for a thread of one's own.
void take_memory_from(std::span<const int> nodes) noexcept;

}  // namespace atom
