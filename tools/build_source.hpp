#pragma once
// The source of a program for one model: a header with the build, and a main.
// One idea: config.json becomes a ModelSpec by the engine's own reader; here the ModelSpec becomes C++.
#include <string>

#include "atom/core/dtype.hpp"
#include "atom/model/spec.hpp"

namespace atom::tools {

/// What config.json does not say.
struct BuildChoice {
  std::string name;                                                      // a C++ identifier
  std::string backend = "cpu", quant = "none", activation = "bf16", kv;  // kv: empty, as activation
  DType weights = DType::bf16;                                           // of the checkpoint
  int tp = 1;
  int ep = 1;  // 1, or tp: ranks share experts out
};

/// "Llama", "Qwen2", ...
std::string_view family_name(model::Arch arch);

/// The header builds/<name>.hpp. Throws atom::Error for what no kernel covers; rules between dimensions are model::check's,
/// and fire when the header is compiled.
std::string build_header(const BuildChoice& choice, const model::ModelSpec& spec);

/// The main that goes with it.
std::string build_main(const std::string& name);

}  // namespace atom::tools
