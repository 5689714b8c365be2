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
#include "engine_flags.hpp"

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

void add_model_options(CLI::App* app, ModelOptions& o, const atom::engine::Registry& builds, Flags which = Flags::model,
                       std::string_view except = {}) {
  static_cast<atom::engine::EngineArgs&>(o) = atom::engine::default_args(builds);
  o.builds = &builds;
  o.model = default_model();
  add_engine_flags(app, o, which, except);
}

// A command's own default.
void preset_max_num_seqs(CLI::App* app, ModelOptions& o, int value, const std::string& shown) {
  o.max_num_seqs = value;
  app->get_option("--max-num-seqs")->default_str(shown);
}

void add_list(CLI::App* app, const std::string& flag, std::vector<int>& value, const std::string& help,
              const std::string& extra = {}) {
  option(app, flag, value, help, extra)->delimiter(',')->capture_default_str();
}

void add_sampling(CLI::App* app, SamplingFlags& s) {
  const auto add = [&](const char* flag, auto& value, const std::string& help, const char* extra = "") {
    return option(app, flag, value, help, extra)->group("Sampling");
  };
  const std::string recommended = ". Default: generation_config.json";
  add("max-tokens", s.max_tokens, "Most tokens of an answer", ",-n")->capture_default_str();
  add("min-tokens", s.min_tokens, "No end before so many tokens")->capture_default_str();
  add("temperature", s.temperature, "0: greedy" + recommended);
  add("top-k", s.top_k, "Keep the k most likely tokens; 0: all" + recommended);
  add("top-p", s.top_p, "Keep the most likely tokens up to this probability" + recommended);
  add("min-p", s.min_p, "Drop tokens below this share of the most likely one" + recommended);
  add("presence-penalty", s.presence_penalty, "Against tokens that were written before, -2 to 2")->capture_default_str();
  add("frequency-penalty", s.frequency_penalty, "The same, times how often")->capture_default_str();
  add("repetition-penalty", s.repetition_penalty, "Divides the odds of tokens seen before, prompt included; 1: off")
      ->capture_default_str();
  add("seed", s.seed, "Same seed, same answers. Default: another each time");
  add("stop", s.stop, "End an answer before this text; may be given more than once")->allow_extra_args(false);
  toggle(app, "ignore-eos", s.ignore_eos, "Go on after the model's end-of-text token")->group("Sampling");
}

void add_chat(CLI::App* app, ChatFlags& f) {
  option(app, "chat-template", f.chat_template, "A Jinja chat template, file or text, instead of the model's own");
  option(app, "default-chat-template-kwargs", f.template_kwargs, "JSON object of variables for it: {\"enable_thinking\": false}");
}

void add_report(CLI::App* app, std::string& output) {
  option(app, "output", output, "How to print", ",-o")->check(CLI::IsMember({"table", "csv", "json"}))->capture_default_str();
}

// -tp[=x] -> --tp[=x], for the aliases of settings that are longer than a letter.
std::string two_dashes(std::string argument) {
  for (const auto& setting : atom::engine::settings())
    for (const std::string& alias : aliases_of(setting))
      if (alias.size() > 2 && (argument == alias || argument.starts_with(alias + "="))) return "-" + argument;
  return argument;
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
    args.push_back(only_values ? std::move(a) : two_dashes(std::move(a)));
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
  add_model_options(run_app, run_options.model, builds, Flags::engine);
  preset_max_num_seqs(run_app, run_options.model, 1, "1");
  option(run_app, "prompt", run_options.prompt, "The prompt; without it: a chat on a terminal, else one prompt per line of stdin",
         ",-p");
  auto* chat = toggle(run_app, "chat", run_options.chat, "Prompts are the turns of a conversation (default on a terminal)");
  toggle(run_app, "raw", run_options.raw, "Prompts are continued as they are (default elsewhere)")->excludes(chat);
  option(run_app, "system", run_options.system, "What the model is told before the conversation");
  toggle(run_app, "no-history", run_options.no_history, "Leave the history of lines typed on a terminal alone");
  add_chat(run_app, run_options.chat_flags);
  add_sampling(run_app, run_options.sampling);
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
  inspect_app->callback([&] { status = inspect(inspect_options); });

  SettingsOptions settings_options;
  auto* settings_app =
      app.add_subcommand("settings", "Everything that can be set: flags, variables, defaults, and what is refused");
  option(settings_app, "output", settings_options.output, "How to print", ",-o")
      ->check(CLI::IsMember({"table", "markdown", "json"}))
      ->capture_default_str();
  settings_app->callback([&] { status = settings(settings_options); });

  ModelsOptions models_options{&builds, "table"};
  auto* models_app = app.add_subcommand("models", "What this program can run: architectures, and the builds it has for each");
  option(models_app, "output", models_options.output, "How to print", ",-o")
      ->check(CLI::IsMember({"table", "markdown", "json"}))
      ->capture_default_str();
  models_app->callback([&] { status = models(models_options); });

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
      ->check(CLI::IsMember({"f32", "bf16", "int8", "fp8"}));
  option(build_app, "quant", build_options.quant, "Quantize a BF16 checkpoint at load")
      ->check(CLI::IsMember({"none", "int8"}))
      ->capture_default_str();
  option(build_app, "tensor-parallel-size", build_options.tensor_parallel_size, "Ranks, as threads of one process", ",-t,--tp")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  build_app->add_flag("--enable-expert-parallel", build_options.enable_expert_parallel, "Ranks share experts out, whole");
  build_app->callback([&] { status = build(build_options); });

  GenerateOptions generate_options;
  auto* generate_app = app.add_subcommand("generate", "Answer a file of prompts, many at a time: JSON lines in, JSON lines out");
  add_model_options(generate_app, generate_options.model, builds, Flags::engine);
  option(generate_app, "input", generate_options.input,
         "Lines {\"prompt\": text or [ids]} or {\"messages\": [...]}, with max_tokens, stop, ... of their own; -: stdin", ",-i")
      ->capture_default_str();
  option(generate_app, "output", generate_options.output, "One line per answer, in the order of the input; -: stdout", ",-o")
      ->capture_default_str();
  add_chat(generate_app, generate_options.chat_flags);
  add_sampling(generate_app, generate_options.sampling);
  generate_app->callback([&] { status = generate(generate_options); });

  BenchOptions bench_options;
  auto* bench_app = app.add_subcommand("bench", "Tokens per second: of prompts (pp) and of generation (tg)");
  add_model_options(bench_app, bench_options.model, builds, Flags::model, "threads");  // here it is a list
  add_list(bench_app, "threads", bench_options.threads, "Thread counts to compare; 0: one per usable CPU");
  add_list(bench_app, "prompt-tokens", bench_options.prompts, "Prompt lengths; 0: none", ",-p");
  add_list(bench_app, "gen-tokens", bench_options.generated, "Answer lengths; 0: none", ",-n");
  add_list(bench_app, "depth", bench_options.depths, "Tokens in the cache before the test", ",-d");
  option(bench_app, "repetitions", bench_options.repetitions, "Timed runs of a test, after one that is not", ",-r")
      ->capture_default_str();
  option(bench_app, "max-num-batched-tokens", bench_options.max_num_batched_tokens, "Most tokens of one step")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  add_report(bench_app, bench_options.output);

  BenchEngineOptions engine_options;
  auto* engine_app = bench_app->add_subcommand("engine", "Many requests at a time: throughput, time to first and per token");
  add_model_options(engine_app, engine_options.model, builds, Flags::engine);
  preset_max_num_seqs(engine_app, engine_options.model, 0, "as --concurrency");
  add_list(engine_app, "concurrency", engine_options.concurrency, "Requests in flight", ",-c");
  option(engine_app, "requests", engine_options.requests, "How many in all")->check(CLI::Range(1, 1 << 20))->capture_default_str();
  add_list(engine_app, "input-len", engine_options.input_len, "Least and most tokens of a prompt; drawn uniformly");
  add_list(engine_app, "output-len", engine_options.output_len, "Least and most tokens of an answer");
  option(engine_app, "scale", engine_options.scale, "Factor on all lengths")->capture_default_str();
  option(engine_app, "temperature", engine_options.temperature, "0: greedy")->capture_default_str();
  option(engine_app, "seed", engine_options.seed, "Of lengths, prompts and draws")->capture_default_str();
  add_report(engine_app, engine_options.output);
  engine_app->callback([&] { status = bench_engine(engine_options); });
  BenchKernelsOptions kernels_options;
  auto* kernels_app = bench_app->add_subcommand("kernels", "Where a step's time goes: every kernel at the model's exact shapes");
  add_model_options(kernels_app, kernels_options.model, builds);
  add_list(kernels_app, "prefill", kernels_options.prefill, "Steps of one prompt of so many tokens; 0: none", ",-p");
  add_list(kernels_app, "decode", kernels_options.decode, "Steps of so many sequences, a token each; 0: none", ",-n");
  option(kernels_app, "depth", kernels_options.depth, "Tokens in the cache before the step, of each sequence", ",-d")
      ->check(CLI::Range(0, 1 << 24))
      ->capture_default_str();
  option(kernels_app, "repetitions", kernels_options.repetitions, "Timed steps, after one that is not", ",-r")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  add_report(kernels_app, kernels_options.output);
  kernels_app->callback([&] { status = bench_kernels(kernels_options); });
  bench_app->callback([&, bench_app] {
    if (bench_app->get_subcommands().empty()) status = bench(bench_options);
  });

  DoctorOptions doctor_options;
  auto* doctor_app = app.add_subcommand("doctor", "What this machine offers, what this program holds, and what would run");
  add_model_options(doctor_app, doctor_options.model, builds);
  toggle(doctor_app, "json", doctor_options.json, "Machine-readable");
  toggle(doctor_app, "measure", doctor_options.measure, "Measure how fast memory is read; takes a second");
  doctor_app->callback([&] { status = doctor(doctor_options); });

  std::string shell;
  auto* completion_app = app.add_subcommand("completion", "A script that completes commands, flags and values in a shell");
  completion_app->add_option("shell", shell, "Which shell")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completion_app->callback([&] { status = completion(app, shell); });
  app.add_subcommand("man", "The manual page: atom man | man -l -")->callback([&] { status = man(app); });

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
