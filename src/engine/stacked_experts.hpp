#pragma once
// StackedExperts: experts whose matrices a checkpoint keeps in one tensor, (experts, rows, cols), found by the name that each would
// have had on its own: "...experts.3.up_proj.weight" is the second half of slice 3 of "...experts.gate_up_proj".
// One idea: a slice of rows of a larger tensor is a tensor, so nothing that reads weights knows.
#include <deque>
#include <optional>
#include <string>

#include "atom/engine/safetensors.hpp"

namespace atom::engine {

class StackedExperts {
 public:
  /// The slice that stands for tensor `name`, which the checkpoint lacks, and the tensor it is cut from; null: there is none.
  struct Found {
    const NamedTensor* slice = nullptr;
    const NamedTensor* whole = nullptr;
  };
  Found find(const Checkpoint& checkpoint, const std::string& name);

 private:
  std::deque<NamedTensor> slices_;
};

}  // namespace atom::engine
