#pragma once
// The subcommands of `atom`: what each is asked (filled in by the command line, atom.cpp) and the function that does it.
// Results go to stdout, everything else to stderr; the return value is the exit status.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "atom/engine/engine_args.hpp"

namespace CLI {
class App;
}

namespace atom::tools {

/// What every command that loads a model understands.
struct ModelOptions : engine::EngineArgs {
  const engine::Registry* builds = nullptr;  // of this program
};

/// How tokens are chosen and when an answer ends; see engine::SamplingParams.
struct SamplingFlags {
  std::int64_t max_tokens = 256, min_tokens = 0;
  std::optional<double> temperature, top_p, min_p;  // none: generation_config.json decides
  std::optional<std::int64_t> top_k;
  double presence_penalty = 0, frequency_penalty = 0, repetition_penalty = 1;
  std::optional<std::uint64_t> seed;  // none: another each time
  std::vector<std::string> stop;
  bool ignore_eos = false;
};

/// How messages become a prompt.
struct ChatFlags {
  std::string chat_template;    // a file, or the template itself; empty: the model's own
  std::string template_kwargs;  // a JSON object; empty: none
};

struct RunOptions {
  ModelOptions model;
  SamplingFlags sampling;
  ChatFlags chat_flags;
  std::optional<std::string> prompt;  // none: from stdin
  std::string system;
  bool chat = false, raw = false, no_history = false;
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

struct SettingsOptions {
  std::string output = "table";  // table, markdown, json
};

struct ModelsOptions {
  const engine::Registry* builds = nullptr;  // of this program
  std::string output = "table";              // table, markdown, json
};

struct BuildOptions {
  std::string model, output;
  std::string backend = "cpu", activation = "bf16", quant = "none", kv;
  int tensor_parallel_size = 1;
  bool enable_expert_parallel = false;
};

struct GenerateOptions {
  ModelOptions model;
  SamplingFlags sampling;
  ChatFlags chat_flags;
  std::string input = "-", output = "-";  // JSON lines; -: stdin, stdout
};

struct BenchOptions {
  ModelOptions model;  // its threads are not used
  std::vector<int> prompts{512}, generated{128}, depths{0}, threads{0};
  int repetitions = 5, max_num_batched_tokens = 512;
  std::string output = "table";  // table, csv, json
};

struct BenchEngineOptions {
  ModelOptions model;  // max_num_seqs 0: as concurrency
  std::vector<int> concurrency{16};
  std::vector<int> input_len{100, 1024}, output_len{100, 1024};  // least, most
  double scale = 1, temperature = 0.6;                           // scale: of lengths
  int requests = 256;
  std::uint64_t seed = 0;
  std::string output = "table";  // table, csv, json
};

struct BenchKernelsOptions {
  ModelOptions model;
  std::vector<int> prefill{512}, decode{1};  // steps to look into: tokens of one prompt; sequences that write a token each
  int depth = 0, repetitions = 20;
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
int bench_kernels(const BenchKernelsOptions&);
int doctor(const DoctorOptions&);
int settings(const SettingsOptions&);
int models(const ModelsOptions&);
int build(const BuildOptions&);
/// Prints a script for bash, zsh or fish that completes what `app` takes.
int completion(const CLI::App& app, const std::string& shell);
/// Prints the manual page.
int man(const CLI::App& app);

}  // namespace atom::tools
