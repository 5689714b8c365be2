#pragma once
// The `atom` program as a function: every subcommand, over the builds that the caller brings. Link atom::tools.
// One idea: a program for one model is a Registry with one build and this call; the universal program is the same call with
// universal_builds().
// To extend: your own main, with a Registry of as many builds as you like (docs/specialised_binaries.md).
#include "atom/engine/registry.hpp"

namespace atom::tools {

/// Runs the command line; returns the exit status. Never throws: errors are one line on stderr and status 1.
/// A registry of one build also decides what --backend, --activation, --quant and --tensor-parallel-size are by default.
int main_with(int argc, char** argv, const engine::Registry& builds);

}  // namespace atom::tools
