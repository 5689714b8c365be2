#pragma once
// The loader: from checkpoint tensors to the parameters of one rank.
// One idea: every parameter and every tensor is accounted for before a byte is copied; what is missing, unexpected, of the
// wrong shape or type is listed in one error. Then each weight is written once, in the layout its kernel wants, or left in the
// mapped file where that is already so.
// To extend: packed modules are rows of a table (model/packed.hpp); layouts and encodings come with the parameter table.
#include <string>

#include "atom/core/thread_pool.hpp"
#include "atom/engine/memory.hpp"
#include "atom/engine/progress.hpp"
#include "atom/engine/safetensors.hpp"
#include "atom/model/reflect.hpp"

namespace atom::engine {

/// The memory of one rank's weights. Parameters that could stay in the mapped file are not in it.
struct Weights {
  Block block;
  std::size_t parameters = 0;  // elements this rank holds, scales not counted
  std::size_t in_file_bytes = 0;
};

/// Binds every parameter of `table` from `checkpoint`, which must outlive the model. `whole` is the unsharded spec.
/// Throws atom::Error listing all missing, unexpected and ill-formed tensors at once.
Weights load_weights(const Checkpoint& checkpoint, const model::ModelSpec& whole, model::Rank rank, model::ParamTable& table,
                     ThreadPool& pool, Progress* progress = nullptr);

/// Shapes without storage: binds every parameter to null, so that a model can be planned before anything is read.
void bind_shapes(const model::ModelSpec& whole, model::Rank rank, model::ParamTable& table);

}  // namespace atom::engine
