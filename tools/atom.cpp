// atom: the command line. Declares every flag once; the commands are in the files beside this one.
// Every flag --some-flag may also be spelled --some_flag, and may be set by the environment variable ATOM_SOME_FLAG.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "atom/tools/main.hpp"

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

void add_model_options(CLI::App* app, ModelOptions& o, const atom::engine::Registry& builds) {
  o.builds = &builds;
  if (builds.variants().size() == 1) {  // there is nothing to choose
    const auto& only = builds.variants().front();
    o.backend = only.backend;
    o.quant = only.quant;
    o.activation = only.act == atom::DType::f32 ? "f32" : "bf16";
    if (only.tp != atom::dynamic) o.tensor_parallel_size = only.tp;
  }
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

void add_load_dummy(CLI::App* app, ModelOptions& o) {
  app->add_flag("--load-dummy{random}", o.load_dummy, "Needs config.json alone: weights are made up (=empty, =zero, =random)")
      ->envname(variable_of("load-dummy"))
      ->check(CLI::IsMember({"none", "empty", "zero", "random"}));
}

void add_list(CLI::App* app, const std::string& flag, std::vector<int>& value, const std::string& help,
              const std::string& extra = {}) {
  option(app, flag, value, help, extra)->delimiter(',')->capture_default_str();
}

template <class Options> void add_batching(CLI::App* app, Options& o) {
  option(app, "max-num-batched-tokens", o.max_num_batched_tokens, "Most tokens of one step")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
}

void add_kv_cache(CLI::App* app, int& tokens) {
  option(app, "kv-cache-tokens", tokens, "Size of the KV cache; 0: what the sequences need, within half of the free memory")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
}

void add_report(CLI::App* app, std::string& output) {
  option(app, "output", output, "How to print", ",-o")->check(CLI::IsMember({"table", "csv", "json"}))->capture_default_str();
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

int atom::tools::main_with(int argc, char** argv, const engine::Registry& builds) try {
  CLI::App app("atom: LLM inference. Every flag can be set by an environment variable too: --max-tokens is ATOM_MAX_TOKENS.",
               "atom");
  app.set_version_flag("--version", "atom " ATOM_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(36);
  int status = 0;

  RunOptions run_options;
  auto* run_app = app.add_subcommand("run", "Write text: stream it to stdout, statistics to stderr");
  add_model_options(run_app, run_options.model, builds);
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
  add_model_options(logits_app, logits_options.model, builds);
  option(logits_app, "input", logits_options.input, "A safetensors file with the tensor input_ids")->required();
  option(logits_app, "output", logits_options.output, "The file to write: tensor logits [T, V], F32")->required();
  logits_app->callback([&] { status = logits(logits_options); });

  PerplexityOptions perplexity_options;
  auto* perplexity_app = app.add_subcommand("perplexity", "Mean negative log-likelihood of a text, as JSON");
  add_model_options(perplexity_app, perplexity_options.model, builds);
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

  TemplateOptions template_options;
  auto* template_app = app.add_subcommand("template", "Conversations on stdin, one JSON object a line, through a chat template");
  add_model(template_app, template_options.model);
  option(template_app, "template", template_options.file, "A template file, instead of the model's own");
  option(template_app, "now", template_options.now, "The clock that templates see: 2026-01-02T03:04:05");
  template_app->callback([&] { status = render_template(template_options); });

  InspectOptions inspect_options;
  auto* inspect_app = app.add_subcommand("inspect", "The build chosen, the memory plan, and each kernel's bytes and flops");
  add_model_options(inspect_app, inspect_options.model, builds);
  option(inspect_app, "rows", inspect_options.rows, "Tokens of the step that is planned")->capture_default_str();
  option(inspect_app, "context", inspect_options.context, "Tokens already in the cache")->capture_default_str();
  toggle(inspect_app, "json", inspect_options.json, "Machine-readable");
  add_load_dummy(inspect_app, inspect_options.model);
  inspect_app->callback([&] { status = inspect(inspect_options); });

  BuildOptions build_options;
  auto* build_app = app.add_subcommand("build", "Compile a program for one model: every dimension a constant");
  add_model(build_app, build_options.model);
  option(build_app, "output", build_options.output, "The program to write", ",-o")->required();
  option(build_app, "backend", build_options.backend, "Where kernels run")
      ->check(CLI::IsMember({"cpu", "ref"}))
      ->capture_default_str();
  option(build_app, "activation", build_options.activation, "What activations are stored in", ",--act")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->capture_default_str();
  option(build_app, "kv", build_options.kv, "What the KV cache is stored in; default: as activations")
      ->check(CLI::IsMember({"f32", "bf16"}));
  option(build_app, "quant", build_options.quant, "Quantize a BF16 checkpoint at load")
      ->check(CLI::IsMember({"none", "int8"}))
      ->capture_default_str();
  option(build_app, "tensor-parallel-size", build_options.tensor_parallel_size, "Ranks, as threads of one process", ",-t,--tp")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  build_app->callback([&] { status = build(build_options); });

  GenerateOptions generate_options;
  auto* generate_app = app.add_subcommand("generate", "Answer a file of prompts, many at a time: JSON lines in, JSON lines out");
  add_model_options(generate_app, generate_options.model, builds);
  add_load_dummy(generate_app, generate_options.model);
  option(generate_app, "input", generate_options.input,
         "Lines {\"prompt\": text or [ids]} with max_tokens, temperature, stop, ... of their own; -: stdin", ",-i")
      ->capture_default_str();
  option(generate_app, "output", generate_options.output, "One line per answer, in the order of the input; -: stdout", ",-o")
      ->capture_default_str();
  option(generate_app, "max-tokens", generate_options.max_tokens, "Most tokens of an answer", ",-n")->capture_default_str();
  option(generate_app, "temperature", generate_options.temperature, "0: greedy. Default: generation_config.json");
  option(generate_app, "top-k", generate_options.top_k, "Keep the k most likely tokens. Default: generation_config.json");
  option(generate_app, "top-p", generate_options.top_p, "Keep the most likely tokens up to this probability. Default: the same");
  option(generate_app, "min-p", generate_options.min_p, "Drop tokens below this share of the most likely one. Default: the same");
  option(generate_app, "seed", generate_options.seed, "Same seed, same answers. Default: another each time");
  option(generate_app, "stop", generate_options.stop, "End an answer before this text; may be given more than once");
  toggle(generate_app, "ignore-eos", generate_options.ignore_eos, "Go on after the model's end-of-text token");
  option(generate_app, "max-num-seqs", generate_options.max_num_seqs, "Answers written at once")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  add_batching(generate_app, generate_options);
  add_kv_cache(generate_app, generate_options.kv_cache_tokens);
  generate_app->callback([&] { status = generate(generate_options); });

  BenchOptions bench_options;
  auto* bench_app = app.add_subcommand("bench", "Tokens per second: of prompts (pp) and of generation (tg)");
  add_model_options(bench_app, bench_options.model, builds);
  bench_app->remove_option(bench_app->get_option("--threads"));  // here it is a list
  add_list(bench_app, "threads", bench_options.threads, "Thread counts to compare; 0: one per usable CPU");
  add_load_dummy(bench_app, bench_options.model);
  add_list(bench_app, "prompt-tokens", bench_options.prompts, "Prompt lengths; 0: none", ",-p");
  add_list(bench_app, "gen-tokens", bench_options.generated, "Answer lengths; 0: none", ",-n");
  add_list(bench_app, "depth", bench_options.depths, "Tokens in the cache before the test", ",-d");
  option(bench_app, "repetitions", bench_options.repetitions, "Timed runs of a test, after one that is not", ",-r")
      ->capture_default_str();
  add_batching(bench_app, bench_options);
  add_report(bench_app, bench_options.output);

  BenchEngineOptions engine_options;
  auto* engine_app = bench_app->add_subcommand("engine", "Many requests at a time: throughput, time to first and per token");
  add_model_options(engine_app, engine_options.model, builds);
  add_load_dummy(engine_app, engine_options.model);
  add_list(engine_app, "concurrency", engine_options.concurrency, "Requests in flight", ",-c");
  option(engine_app, "requests", engine_options.requests, "How many in all")->check(CLI::Range(1, 1 << 20))->capture_default_str();
  add_list(engine_app, "input-len", engine_options.input_len, "Least and most tokens of a prompt; drawn uniformly");
  add_list(engine_app, "output-len", engine_options.output_len, "Least and most tokens of an answer");
  option(engine_app, "scale", engine_options.scale, "Factor on all lengths")->capture_default_str();
  option(engine_app, "temperature", engine_options.temperature, "0: greedy")->capture_default_str();
  option(engine_app, "seed", engine_options.seed, "Of lengths, prompts and draws")->capture_default_str();
  add_batching(engine_app, engine_options);
  add_kv_cache(engine_app, engine_options.kv_cache_tokens);
  add_report(engine_app, engine_options.output);
  engine_app->callback([&] { status = bench_engine(engine_options); });
  bench_app->callback([&, bench_app] {
    if (bench_app->get_subcommands().empty()) status = bench(bench_options);
  });

  DoctorOptions doctor_options;
  auto* doctor_app = app.add_subcommand("doctor", "What this machine offers, what this program holds, and what would run");
  add_model_options(doctor_app, doctor_options.model, builds);
  add_load_dummy(doctor_app, doctor_options.model);
  toggle(doctor_app, "json", doctor_options.json, "Machine-readable");
  toggle(doctor_app, "measure", doctor_options.measure, "Measure how fast memory is read; takes a second");
  doctor_app->callback([&] { status = doctor(doctor_options); });

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
