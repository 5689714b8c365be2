#pragma once
// The rope part of config.json, both styles: rope_theta + rope_scaling (vendors), rope_parameters (transformers 5).
#include "atom/model/numbers.hpp"

#include "fields.hpp"

namespace atom::engine {

/// `config`: the whole file. `share`: of a head's channels, how many rotate unless the file says otherwise; 1: always all.
model::RopeConfig read_rope(Fields& config, int head_dim, int max_position, double share = 1);

}  // namespace atom::engine
