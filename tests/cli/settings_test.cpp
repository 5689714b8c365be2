// Settings as a user meets them: flags in every spelling, variables, files, which of them wins, and the page that lists them.
#include "atom/engine/settings.hpp"

#include <gtest/gtest.h>
#include <string>

#include "atom/engine/json.hpp"

#include "program.hpp"

namespace atom::engine {
namespace {

using test::atom_program;
using test::contains;

const std::string demo = ATOM_DEMO_MODEL;
const std::string prompt = "{\"prompt\": \"Once upon\", \"max_tokens\": 2, \"temperature\": 0}\n";

// `generate` with these flags and variables, after the demo model.
test::Result generate(const std::string& flags, const std::string& environment = {}) {
  return atom_program("generate --model " + demo + " " + flags, prompt, environment);
}
void refuses(const test::Result& r, std::string_view sentence) {
  EXPECT_NE(r.status, 0) << sentence;
  EXPECT_EQ(r.out, "");
  EXPECT_TRUE(contains(r.err, sentence)) << "expected: " << sentence << "\nfound: " << r.err;
}
void accepts(const test::Result& r) { EXPECT_EQ(r.status, 0) << r.err; }

TEST(SettingsCommand, TheDocumentationIsItsOutput) {
  const auto markdown = atom_program("settings --output markdown");
  ASSERT_EQ(markdown.status, 0) << markdown.err;
  const std::string page = test::read_file(std::string(ATOM_TEST_DATA) + "/../../docs/configuration.md");
  EXPECT_TRUE(page.ends_with(markdown.out)) << "docs/configuration.md: replace what follows \"## Model\" by what "
                                               "`atom settings --output markdown` prints";
  const auto json = atom_program("settings --output json");
  EXPECT_EQ(Json::parse(json.out, "settings").as_array("settings").size(), settings().size());
  const auto table = atom_program("settings");
  for (const Setting& s : settings())
    for (const std::string& v : variables_of(s)) EXPECT_TRUE(contains(table.out, v)) << v;
}

TEST(SettingsFlags, EveryRowIsAFlagInBothSpellings) {
  // A value that the row refuses shows that the flag, the variable and the program meet: both name what was given.
  for (const Setting& s : settings()) {
    if (s.effect != Setting::Effect::fixed || s.field.empty()) continue;
    const SettingType type = type_of(s);
    const std::string standard = default_of(s), flag = flag_of(s);
    const std::string value = type == SettingType::boolean   ? (standard == "1" ? "0" : "1")
                              : type == SettingType::integer ? std::to_string(std::stoi(standard) + 1)
                                                             : "x";
    std::string snake = flag;
    for (char& c : snake) c = c == '-' ? '_' : c;
    const std::string why = "--" + flag + ": " + std::string(s.why);
    refuses(generate("--" + flag + "=" + value), why);
    refuses(generate("--" + snake + "=" + value), why);
  }
}

TEST(SettingsFlags, ShortSpellings) {
  for (const char* flag : {"-tp 2", "-tp=2", "-t 2", "--tp 2", "--tensor_parallel_size=2"})
    refuses(generate(flag), "--tensor-parallel-size 2: must divide the model's 5 attention heads");
  for (const char* flag : {"-dp 2", "-dp=2", "--data-parallel-size 2"})
    refuses(generate(flag), "--data-parallel-size: data parallelism is not built");
  refuses(generate("-pp 2"), "--pipeline-parallel-size: only tensor_parallel_size");
  refuses(generate("-dcp 2"), "--decode-context-parallel-size: only tensor_parallel_size");
  refuses(generate("--enable-tbo"), "--enable-tbo: steps are not split");
  refuses(generate("--cudagraph-capture-sizes 0"), "--cudagraph-capture-sizes: must be between 1");
  for (const char* list : {"'[1, 2,4]'", "1,2,4", "'[1,2,4]'"}) {
    const auto r = generate("--cudagraph-capture-sizes " + std::string(list));
    accepts(r);
    EXPECT_TRUE(contains(r.err, "cudagraph_capture_sizes: has no effect")) << r.err;
  }
  for (const char* flags :
       {"--no-enable_prefix_caching", "--enable-prefix-caching=0", "--enable_prefix_caching", "--enforce-eager", "--load_dummy",
        "--load-dummy=zero", "--kv_cache_dtype bf16", "--kv-cache-dtype int8", "--kv-cache-dtype fp8_e4m3",
        "--kv-cache-dtype int8 --quant int8", "--block-size 16", "--cudagraph-mode none"})
    accepts(generate(flags));
}

TEST(SettingsFlags, FlagThenVariableThenFileThenDefault) {
  test::TempDir dir;
  const std::string file = "--config " + dir.write("level.json", R"({"compilation_config": {"level": 1}})");
  const auto says = [](const char* level) { return "level: " + std::string(level) + " needs"; };
  accepts(generate(""));
  refuses(generate(file), says("1"));
  refuses(generate("", "ATOM_CONFIG=" + file.substr(9)), says("1"));
  refuses(generate(file, "ATOM_LEVEL=2"), says("2"));
  refuses(generate(file + " --level 3", "ATOM_LEVEL=2"), says("3"));
  accepts(generate(file + " --level 0", "ATOM_LEVEL=2"));
  accepts(generate(file, "ATOM_LEVEL=0"));
  refuses(generate(file, "ATOM_LEVEL="), says("1"));
  refuses(generate("", "ATOM_LEVEL=high"), "ATOM_LEVEL: expected an integer");
  refuses(generate("--config " + dir.write("key.json", R"({"max_seqs": 1})")), "key.json: max_seqs: is no setting");
  refuses(generate("--config " + dir.path() + "/none.json"), "none.json");
  refuses(generate("--config " + dir.write("bad.json", "{")), "bad.json");
}

TEST(SettingsFlags, VariablesOfWhatWasDecidedAtCompileTime) {
  accepts(generate("", "ATOM_LLAMA_ENABLE_AITER_TRITON_FUSED_RMSNORM_QUANT=1 ATOM_USE_TRITON_GEMM=0 HF_TOKEN=secret"));
  refuses(generate("", "ATOM_LLAMA_ENABLE_AITER_TRITON_FUSED_RMSNORM_QUANT=0"),
          "ATOM_LLAMA_ENABLE_AITER_TRITON_FUSED_RMSNORM_QUANT: the two are one kernel by type");
  refuses(generate("", "ATOM_USE_TRITON_GEMM=1"), "ATOM_USE_TRITON_GEMM: kernels are chosen by type");
  refuses(generate("", "ATOM_DP_SIZE=2"), "ATOM_DP_SIZE: data parallelism is not built");
  refuses(generate("", "ATOM_PROFILER_MORE=1"), "ATOM_PROFILER_MORE: profiling is not built");
  refuses(atom_program("inspect --model " + demo, {}, "ATOM_USE_TRITON_GEMM=1"), "ATOM_USE_TRITON_GEMM");
}

TEST(SettingsFlags, WhatOnlyTheModelOrTheMachineKnows) {
  refuses(generate("--kv-cache-dtype fp8 --activation f32"), "no build in this binary admits --kv-cache-dtype fp8");
  refuses(generate("--kv-cache-dtype fp8 --quant int8"),
          "--kv-cache-dtype fp8; use --kv-cache-dtype auto, another --activation or");
  refuses(generate("--kv-cache-dtype bf16 --activation f32"), "no build in this binary admits --kv-cache-dtype bf16");
  refuses(generate("--cudagraph-mode FULL"), "cudagraph_mode: FULL needs a device back end");
  refuses(generate("--max-num-seqs 600"), "max_num_batched_tokens: 512 is less than max_num_seqs 600");
  refuses(generate("--num-kvcache-blocks 4 --max-model-len 65"), "max_model_len: 65 tokens do not fit");
  refuses(generate("--gpu-memory-utilization 0"), "--gpu-memory-utilization: must be between 0.01 and 1, not 0");
  accepts(generate("--num-kvcache-blocks 4 --gpu-memory-utilization 0.5 --max-num-seqs 3 --scheduler-delay-factor 0.5"));
}

TEST(SettingsFlags, HelpShowsWhatWorks) {
  const auto r = atom_program("generate --help");
  for (const Setting& s : settings()) {
    const bool shown = contains(r.out, "(" + variables_of(s).front() + ")");
    EXPECT_EQ(shown, s.effect == Setting::Effect::works) << s.field << s.variable;
  }
}

}  // namespace
}  // namespace atom::engine
