#pragma once
// The subcommands of `atom`: what each is asked (filled in by the command line, atom.cpp) and the function that does it.
// Results go to stdout, everything else to stderr; the return value is the exit status.
#include <cstdint>
#include <optional>
#include <string>

namespace atom::tools {

/// What every command that loads a model understands.
struct ModelOptions {
  std::string model;
  std::string backend = "cpu", activation = "bf16", quant = "none", cpu_isa;
  int tensor_parallel_size = 1, threads = 0, max_model_len = 0;
};

struct RunOptions {
  ModelOptions model;
  std::optional<std::string> prompt;  // none: interactive
  int max_tokens = 256;
  std::optional<float> temperature, top_p, min_p;  // none: generation_config.json decides
  std::optional<int> top_k;
  std::optional<std::uint64_t> seed;
  bool chat = false, raw = false, ignore_eos = false;
};

struct LogitsOptions {
  ModelOptions model;
  std::string input, output;
};

struct PerplexityOptions {
  ModelOptions model;
  std::string file, ids;
  int window = 512;
};

struct TokenizeOptions {
  std::string model;
  bool decode = false, no_special = false;
};

struct InspectOptions {
  ModelOptions model;
  int rows = 1, context = 0;
  bool json = false;
};

int run(const RunOptions&);
int logits(const LogitsOptions&);
int perplexity(const PerplexityOptions&);
int tokenize(const TokenizeOptions&);
int inspect(const InspectOptions&);

}  // namespace atom::tools
