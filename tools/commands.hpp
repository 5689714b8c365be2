#pragma once
// The subcommands of `atom`: what each is asked (filled in by the command line, atom.cpp) and the function that does it.
// Results go to stdout, everything else to stderr; the return value is the exit status.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace atom::engine {
class Registry;
}

namespace atom::tools {

/// What every command that loads a model understands.
struct ModelOptions {
  const engine::Registry* builds = nullptr;  // of this program
  std::string model;
  std::string backend = "cpu", activation = "bf16", quant = "none", cpu_isa;
  std::string load_dummy = "none";  // none, empty, zero, random
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

struct TemplateOptions {
  std::string file, model, now;  // file: a template; model: a directory (when file is empty); now: the clock, or empty
};

struct InspectOptions {
  ModelOptions model;
  int rows = 1, context = 0;
  bool json = false;
};

struct BuildOptions {
  std::string model, output;
  std::string backend = "cpu", activation = "bf16", quant = "none", kv;
  int tensor_parallel_size = 1;
};

struct GenerateOptions {
  ModelOptions model;
  std::string input = "-", output = "-";  // JSON lines; -: stdin, stdout
  int max_tokens = 256;
  std::optional<float> temperature, top_p, min_p;  // none: generation_config.json decides
  std::optional<int> top_k;
  std::optional<std::uint64_t> seed;
  std::vector<std::string> stop;
  bool ignore_eos = false;
  int max_num_seqs = 16, max_num_batched_tokens = 512, kv_cache_tokens = 0;  // 0: as many as memory allows and sequences need
};

struct BenchOptions {
  ModelOptions model;  // its threads are not used
  std::vector<int> prompts{512}, generated{128}, depths{0}, threads{0};
  int repetitions = 5, max_num_batched_tokens = 512;
  std::string output = "table";  // table, csv, json
};

struct BenchEngineOptions {
  ModelOptions model;
  std::vector<int> concurrency{16};
  std::vector<int> input_len{100, 1024}, output_len{100, 1024};  // least, most
  double scale = 1, temperature = 0.6;                           // scale: of lengths
  int requests = 256, max_num_batched_tokens = 512, kv_cache_tokens = 0;
  std::uint64_t seed = 0;
  std::string output = "table";  // table, csv, json
};

struct DoctorOptions {
  ModelOptions model;
  bool json = false, measure = false;
};

int run(const RunOptions&);
int logits(const LogitsOptions&);
int perplexity(const PerplexityOptions&);
int tokenize(const TokenizeOptions&);
/// Reads conversations from stdin, one JSON object a line (messages, tools, add_generation_prompt, bos_token, eos_token, and
/// `extra`: an object of further variables), and prints {"text": ...} or {"error": ...} for each.
int render_template(const TemplateOptions&);
int inspect(const InspectOptions&);
int generate(const GenerateOptions&);
int bench(const BenchOptions&);
int bench_engine(const BenchEngineOptions&);
int doctor(const DoctorOptions&);
int build(const BuildOptions&);

}  // namespace atom::tools
