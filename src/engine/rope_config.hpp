#pragma once
// The rope part of config.json, both styles: rope_theta + rope_scaling (vendors), rope_parameters (transformers 5).
#include "atom/model/numbers.hpp"

#include "fields.hpp"

namespace atom::engine {

/// `config`: the whole file. For architectures whose whole head rotates.
model::RopeConfig read_rope(Fields& config, int head_dim, int max_position);

}  // namespace atom::engine
