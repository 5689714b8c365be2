#pragma once
// from_config: the one mapping from the keys of config.json to a ModelSpec and its Numbers.
// One idea: a field either is understood, is known not to matter, or is reported. What would change the result and is not
// supported (a quantised checkpoint, an unknown rope) is refused, never ignored.
// To extend: one line of the table in src/engine/config.cpp and the function it names.
#include <string>
#include <string_view>
#include <vector>

#include "atom/core/dtype.hpp"
#include "atom/model/numbers.hpp"
#include "atom/model/spec.hpp"

namespace atom::engine {

class Json;

struct ModelConfig {
  model::ModelSpec spec;  // no holes
  model::Numbers numbers;
  DType dtype = DType::bf16;              // f32, f16 or bf16: the type the checkpoint was made for
  std::vector<int> eos_token_ids;         // of config.json; those of generation_config.json take precedence
  int bos_token_id = -1;                  // -1: none
  std::vector<std::string> unknown_keys;  // neither understood nor known not to matter: warn about them
};

/// What "architectures" of config.json may name, and what each is here.
struct Family {
  std::string_view architecture;
  model::Arch arch;
};
std::vector<Family> families();

/// Reads config.json of a model directory. Throws atom::Error that names the file and lists every field that is wrong.
ModelConfig read_config(const std::string& model_dir);

/// The same from parsed JSON.
ModelConfig from_config(const Json& config);

}  // namespace atom::engine
