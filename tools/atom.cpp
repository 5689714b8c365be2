// atom: the command line. Declares every flag once; the commands are in the files beside this one.
// Every flag --some-flag may also be spelled --some_flag, and may be set by the environment variable ATOM_SOME_FLAG.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "commands.hpp"
#include "common.hpp"

namespace {

using namespace atom::tools;

std::string variable_of(std::string flag) {
  for (char& c : flag) c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return "ATOM_" + flag;
}

template <class T>
CLI::Option* option(CLI::App* app, const std::string& flag, T& value, const std::string& help, const std::string& extra = {}) {
  return app->add_option("--" + flag + extra, value, help)->envname(variable_of(flag));
}
CLI::Option* toggle(CLI::App* app, const std::string& flag, bool& value, const std::string& help) {
  return app->add_flag("--" + flag, value, help)->envname(variable_of(flag));
}

void add_model(CLI::App* app, std::string& model) {
  model = default_model();
  option(app, "model", model, "Model directory: config.json, *.safetensors, tokenizer.json")->capture_default_str();
}

void add_model_options(CLI::App* app, ModelOptions& o) {
  add_model(app, o.model);
  option(app, "backend", o.backend, "Where kernels run")->check(CLI::IsMember({"cpu", "ref"}))->capture_default_str();
  option(app, "activation", o.activation, "What activations and the KV cache are stored in")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->capture_default_str();
  option(app, "quant", o.quant, "Quantize a BF16 checkpoint at load: weights per row, activations per token")
      ->check(CLI::IsMember({"none", "int8"}))
      ->capture_default_str();
  option(app, "tensor-parallel-size", o.tensor_parallel_size, "Ranks, as threads of this process", ",-t,--tp")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  option(app, "threads", o.threads, "Threads in all, shared out over the ranks; 0: one per usable CPU")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  option(app, "max-model-len", o.max_model_len, "Longest sequence, prompt and answer together; 0: what the command needs")
      ->check(CLI::Range(0, 1 << 24))
      ->capture_default_str();
  option(app, "cpu-isa", o.cpu_isa, "Use at most this instruction-set level; default: the best of this machine")
      ->check(CLI::IsMember({"avx2", "avx512", "avx512_bf16", "amx"}));
}

// --some_flag[=x] -> --some-flag[=x]; values and what follows "--" stay as they are.
std::vector<std::string> arguments(int argc, char** argv) {
  std::vector<std::string> args;
  bool only_values = false;
  for (int i = 1; i < argc; ++i) {
    std::string a = argv[i];
    only_values |= a == "--";
    if (!only_values && a.starts_with("--"))
      std::replace(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(std::min(a.find('='), a.size())), '_', '-');
    args.push_back(std::move(a));
  }
  std::reverse(args.begin(), args.end());  // CLI11 takes them from the back
  return args;
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app("atom: LLM inference. Every flag can be set by an environment variable too: --max-tokens is ATOM_MAX_TOKENS.",
               "atom");
  app.set_version_flag("--version", "atom " ATOM_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(36);
  int status = 0;

  RunOptions run_options;
  auto* run_app = app.add_subcommand("run", "Write text: stream it to stdout, statistics to stderr");
  add_model_options(run_app, run_options.model);
  option(run_app, "prompt", run_options.prompt, "The prompt; without it, one prompt per line of stdin", ",-p");
  option(run_app, "max-tokens", run_options.max_tokens, "Most tokens to generate", ",-n")->capture_default_str();
  option(run_app, "temperature", run_options.temperature, "0: greedy. Default: generation_config.json");
  option(run_app, "top-k", run_options.top_k, "Keep the k most likely tokens; 0: all. Default: generation_config.json");
  option(run_app, "top-p", run_options.top_p,
         "Keep the most likely tokens up to this probability. Default: generation_config.json");
  option(run_app, "min-p", run_options.min_p,
         "Drop tokens below this share of the most likely one. Default: generation_config.json");
  option(run_app, "seed", run_options.seed, "Same seed, same text. Default: another each time");
  auto* chat = toggle(run_app, "chat", run_options.chat, "Prompts are a user's turns (ChatML models)");
  toggle(run_app, "raw", run_options.raw, "Prompts are continued as they are (the default)")->excludes(chat);
  toggle(run_app, "ignore-eos", run_options.ignore_eos, "Go on after the model's end-of-text token");
  run_app->callback([&] { status = run(run_options); });

  LogitsOptions logits_options;
  auto* logits_app = app.add_subcommand("logits", "Logits of all positions, to a safetensors file");
  add_model_options(logits_app, logits_options.model);
  option(logits_app, "input", logits_options.input, "A safetensors file with the tensor input_ids")->required();
  option(logits_app, "output", logits_options.output, "The file to write: tensor logits [T, V], F32")->required();
  logits_app->callback([&] { status = logits(logits_options); });

  PerplexityOptions perplexity_options;
  auto* perplexity_app = app.add_subcommand("perplexity", "Mean negative log-likelihood of a text, as JSON");
  add_model_options(perplexity_app, perplexity_options.model);
  option(perplexity_app, "file", perplexity_options.file, "A text file");
  option(perplexity_app, "ids", perplexity_options.ids, "A safetensors file with the tensor nll_ids or input_ids");
  option(perplexity_app, "window", perplexity_options.window, "Tokens per independent window")->capture_default_str();
  perplexity_app->callback([&] { status = perplexity(perplexity_options); });

  TokenizeOptions tokenize_options;
  auto* tokenize_app = app.add_subcommand("tokenize", "Text on stdin to token ids as JSON, or back");
  add_model(tokenize_app, tokenize_options.model);
  toggle(tokenize_app, "decode", tokenize_options.decode, "JSON ids on stdin to text");
  toggle(tokenize_app, "no-special", tokenize_options.no_special,
         "Add no special tokens; with --decode, leave them out of the text");
  tokenize_app->callback([&] { status = tokenize(tokenize_options); });

  InspectOptions inspect_options;
  auto* inspect_app = app.add_subcommand("inspect", "The build chosen, the memory plan, and each kernel's bytes and flops");
  add_model_options(inspect_app, inspect_options.model);
  option(inspect_app, "rows", inspect_options.rows, "Tokens of the step that is planned")->capture_default_str();
  option(inspect_app, "context", inspect_options.context, "Tokens already in the cache")->capture_default_str();
  toggle(inspect_app, "json", inspect_options.json, "Machine-readable");
  inspect_app->callback([&] { status = inspect(inspect_options); });

  try {
    app.parse(arguments(argc, argv));
  } catch (const CLI::ParseError& e) {
    return app.exit(e, std::cout, std::cerr);
  }
  return status;
} catch (const std::exception& e) {
  std::fprintf(stderr, "atom: %s\n", e.what());
  return 1;
}
