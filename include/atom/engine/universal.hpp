#pragma once
// The universal builds: head_dim 64 and 128 of every family, in every weight, activation and scheme type that the kernels have;
// all other dimensions come from config.json. Link atom::builds.
// To extend: copy the Registry and add your own builds to it.
#include "atom/engine/registry.hpp"

namespace atom::engine {

const Registry& universal_builds();

}  // namespace atom::engine
