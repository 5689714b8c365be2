#pragma once
// BatchRows: the arrays that every Batch has, filled sequence by sequence.
// One idea: they are sized for the largest step once and written from the front, so that making a batch allocates nothing.
// To extend: what every batch has is an array here; what only some have belongs to whoever fills those.
#include <span>
#include <vector>

#include "atom/engine/context.hpp"
#include "atom/engine/engine_config.hpp"

namespace atom::engine {

class BatchRows {
 public:
  /// config: resolved.
  explicit BatchRows(const EngineConfig& config);
  /// An empty batch of sequences of at most `pages` pages. Its arrays are these, until the next call.
  Batch begin(int pages) noexcept;
  /// Appends a sequence: rows at positions first, first + 1 ... of what `pages` hold. Returns (rows): where their tokens go.
  std::span<int> add(Batch& batch, int first, int rows, std::span<const int> pages) noexcept;

 private:
  std::vector<int> tokens_, positions_, slots_;  // (rows)
  std::vector<int> table_;                       // (seqs, stride)
  std::vector<int> first_row_, context_;         // (seqs + 1), (seqs)
};

}  // namespace atom::engine
