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

/// Bytes of one rank's weights: copied into memory, and used in place from the mapped file; and what each thread needs meanwhile.
struct WeightBytes {
  std::size_t copied = 0, in_file = 0, scratch = 0;
};

/// What load_weights will need, without reading a weight. Throws atom::Error listing all missing, unexpected and ill-formed
/// tensors at once. `whole` is the unsharded spec.
WeightBytes plan_weights(const Checkpoint& checkpoint, const model::ModelSpec& whole, model::Rank rank, model::ParamTable& table);

/// Binds every parameter of `table` from `checkpoint`, which must outlive the model; returns the memory they live in.
/// Tensors that hold NaN or infinities are warned of by name. Throws as plan_weights does, and where a scale would be one.
Block load_weights(const Checkpoint& checkpoint, const model::ModelSpec& whole, model::Rank rank, model::ParamTable& table,
                   ThreadPool& pool, Progress* progress = nullptr);

/// Weights without a checkpoint, for timing a shape. empty: memory is reserved and never touched, so speeds mean nothing; zero;
/// random: noise of the size trained weights have.
enum class Dummy : unsigned char { none, empty, zero, random };

/// plan_weights and load_weights without a checkpoint; `stored`: the element type that its tensors would have.
WeightBytes plan_dummy(DType stored, const model::ModelSpec& whole, model::Rank rank, model::ParamTable& table);
Block load_dummy(Dummy values, DType stored, const model::ModelSpec& whole, model::Rank rank, model::ParamTable& table,
                 ThreadPool& pool, Progress* progress = nullptr);
/// Elements of the tensors that a checkpoint of these parameters has, tied ones once.
std::size_t count_parameters(const model::ModelSpec& whole, model::ParamTable& table);

/// Shapes without storage: binds every parameter to null, so that a model can be planned before anything is read.
void bind_shapes(const model::ModelSpec& whole, model::Rank rank, model::ParamTable& table);

}  // namespace atom::engine
