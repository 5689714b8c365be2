#include "atom/core/memory_nodes.hpp"

#include <array>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace atom {

namespace {

constexpr std::size_t bits = 1024, per_long = 8 * sizeof(unsigned long);
using Mask = std::array<unsigned long, bits / per_long>;

Mask mask_of(std::span<const int> nodes) noexcept {
  Mask mask{};
  for (const int n : nodes)
    if (const auto at = static_cast<std::size_t>(n); at < bits) mask[at / per_long] |= 1ul << at % per_long;
  return mask;
}

int mode_of(std::span<const int> nodes) noexcept { return nodes.size() == 1 ? MPOL_PREFERRED : MPOL_INTERLEAVE; }

}  // namespace

void place_memory(void* memory, std::size_t bytes, std::span<const int> nodes) noexcept {
  if (nodes.empty() || bytes == 0) return;
  const Mask mask = mask_of(nodes);
  syscall(SYS_mbind, memory, bytes, mode_of(nodes), mask.data(), bits + 1, 0);  // the kernel counts one less than it is told
}

void take_memory_from(std::span<const int> nodes) noexcept {
  if (nodes.empty()) return;
  const Mask mask = mask_of(nodes);
  syscall(SYS_set_mempolicy, mode_of(nodes), mask.data(), bits + 1);
}

NodeScope::NodeScope(std::span<const int> nodes) noexcept {
  static_assert(sizeof nodes_ == sizeof(Mask));
  if (nodes.empty() || syscall(SYS_get_mempolicy, &mode_, nodes_, bits, nullptr, 0) != 0) return;
  take_memory_from(nodes);
}

NodeScope::~NodeScope() {
  if (mode_ >= 0) syscall(SYS_set_mempolicy, mode_, nodes_, bits + 1);
}

}  // namespace atom
