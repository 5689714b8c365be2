#pragma once
// The rotary table: cosines and sines per position, computed once per model on the host.
// One idea: every stretch of the context (linear, llama3, yarn) is a different list of R/2 frequencies; kernels see only the
// table. Frequencies are computed in double and rounded once to float; the angle is one float product, as in the training
// frameworks whose checkpoints we run (a double angle differs by 4e-3 rad at position 100,000).
// To extend: a RopeConfig::Kind and its case in inv_freq.
#include <vector>

#include "atom/model/numbers.hpp"

namespace atom::ops {

/// Radians per position of channel pair i, i in [0, rotary_dim / 2).
std::vector<float> inv_freq(const model::RopeConfig& rope);

/// What yarn multiplies into both cosines and sines; 1 for the other kinds.
float attention_scaling(const model::RopeConfig& rope);

/// Fills rows for positions 0 .. positions - 1: R/2 cosines, then R/2 sines.
void fill_rope_table(const model::RopeConfig& rope, int positions, float* out /* (positions, rotary_dim) */);

}  // namespace atom::ops
