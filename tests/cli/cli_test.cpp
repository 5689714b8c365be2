// The atom program as a user meets it: flags, environment, streams, files, exit status.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <numeric>
#include <string>

#include "atom/engine/json.hpp"
#include "atom/engine/tokenizer.hpp"

#include "../engine/checkpoints.hpp"
#include "program.hpp"

namespace atom::engine {
namespace {

using test::atom_program;
using test::contains;

const std::string demo = ATOM_DEMO_MODEL;

TEST(Cli, RunWritesTheGoldenText) {
  const SafeTensors golden(demo + "/golden.safetensors");
  const std::string want = Tokenizer::from_dir(demo).decode(test::ids(golden, "greedy_0"));
  const auto r =
      atom_program("run --model " + demo + " --prompt 'Once upon a time' --max-tokens 64 --temperature 0 --activation f32");
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.out, want + "\n");
  EXPECT_TRUE(contains(r.err, "tokens/s")) << r.err;
  EXPECT_FALSE(contains(r.err, "loading")) << "a progress bar belongs on a terminal only: " << r.err;
}

TEST(Cli, SnakeCaseAndEnvironmentSpellTheSameFlags) {
  const std::string common = "--model " + demo + " --prompt 'The king' --temperature 0";
  const auto kebab = atom_program("run " + common + " --max-tokens 5");
  EXPECT_EQ(atom_program("run " + common + " --max_tokens=5").out, kebab.out);
  EXPECT_EQ(atom_program("run " + common, {}, "ATOM_MAX_TOKENS=5").out, kebab.out);
  EXPECT_NE(atom_program("run " + common + " --max-tokens 6").out, kebab.out);
}

TEST(Cli, SeedDecidesTheText) {
  const std::string common = "run --model " + demo + " --prompt 'The' --max-tokens 16 --temperature 1 --seed ";
  const auto one = atom_program(common + "1");
  EXPECT_EQ(atom_program(common + "1 --threads 1").out, one.out);
  EXPECT_NE(atom_program(common + "2").out, one.out);
}

TEST(Cli, InteractiveTakesOnePromptPerLine) {
  const auto r = atom_program("run --model " + demo + " --max-tokens 4 --temperature 0", "Once upon\nThe wolf\n");
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(std::ranges::count(r.out, '\n') >= 2, true) << r.out;
  EXPECT_TRUE(
      contains(atom_program("run --chat --model " + demo + " --max-tokens 4 --ignore-eos", "Hello\n").err, "generation: 4 tokens"));
}

TEST(Cli, LogitsMatchTheGoldenOnBothBackends) {
  const std::string model = std::string(ATOM_TEST_DATA) + "/hf/qwen3";
  const SafeTensors golden(model + "/golden.safetensors");
  const auto want = test::floats(golden, "logits");
  for (const char* backend : {"ref", "cpu"}) {
    test::TempDir dir;
    const std::string file = dir.path() + "/logits.safetensors";
    const auto r = atom_program("logits --model " + model + " --input " + model + "/golden.safetensors --output " + file +
                                " --activation f32 --tensor-parallel-size 2 --backend " + backend);
    ASSERT_EQ(r.status, 0) << r.err;
    const SafeTensors written(file);
    EXPECT_EQ(test::tensor(written, "logits").rank, 2);
    const auto got = test::floats(written, "logits");
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], 2e-3) << i;
  }
}

TEST(Cli, PerplexityIsJson) {
  const auto r = atom_program("perplexity --model " + demo + " --ids " + demo + "/golden.safetensors --window 512");
  ASSERT_EQ(r.status, 0) << r.err;
  const auto json = Json::parse(r.out, "stdout");
  const SafeTensors golden(demo + "/golden.safetensors");
  const auto want = test::floats(golden, "nll_f32");
  const double mean = std::accumulate(want.begin(), want.end(), 0.0) / static_cast<double>(want.size());
  EXPECT_NEAR(json.at("nll").as_number("nll"), mean, 0.01);
  EXPECT_NEAR(json.at("ppl").as_number("ppl"), std::exp(mean), 0.5);
  EXPECT_EQ(json.at("tokens").as_int("tokens"), 2048);
  EXPECT_NE(atom_program("perplexity --model " + demo).status, 0) << "neither --file nor --ids";
}

TEST(Cli, TokenizeGoesThereAndBack) {
  const std::string text = "It\xe2\x80\x99s w\xc3\xb6rth 42 \xf0\x9f\x8e\x89\n";
  const auto ids = atom_program("tokenize --model " + demo, text);
  ASSERT_EQ(ids.status, 0) << ids.err;
  EXPECT_EQ(atom_program("tokenize --decode --model " + demo, ids.out).out, text);
  const auto bad = atom_program("tokenize --decode --model " + demo, "[1, 99999]");
  EXPECT_NE(bad.status, 0);
  EXPECT_TRUE(contains(bad.err, "99999")) << bad.err;
}

TEST(Cli, InspectReadsNoWeightAndCountsThem) {
  const auto r = atom_program("inspect --json --model " + demo);
  ASSERT_EQ(r.status, 0) << r.err;
  const auto json = Json::parse(r.out, "stdout");
  EXPECT_GT(json.at("parameters").as_number("parameters"), 11e6);
  double bytes = 0;
  for (const auto& k : json.at("kernels").as_array("kernels"))
    if (k.at("name").as_string("name").starts_with("linear")) bytes += k.at("bytes").as_number("bytes");
  EXPECT_NEAR(bytes / (2 * json.at("parameters").as_number("parameters")), 1, 0.02) << "a decode step reads each weight once";
  EXPECT_TRUE(contains(atom_program("inspect --model " + demo).out, "universal_d64_bf16_bf16"));
}

TEST(Cli, TheTableOfModelsIsInTheDocumentation) {
  auto markdown = atom_program("models --output markdown");
  ASSERT_EQ(markdown.status, 0) << markdown.err;
  for (std::size_t hip; (hip = markdown.out.find("` | hip |")) != std::string::npos;) {  // rows of programs with GPU builds
    const std::size_t begin = markdown.out.rfind('\n', hip);
    markdown.out.erase(begin, markdown.out.find('\n', hip) - begin);
  }
  EXPECT_TRUE(test::read_file(std::string(ATOM_TEST_DATA) + "/../../docs/models.md").ends_with(markdown.out))
      << "docs/models.md: replace its table by what `atom models --output markdown` prints";
  const auto json = atom_program("models --output json");
  EXPECT_GT(engine::Json::parse(json.out, "models").as_array("models").size(), 50u);
}

TEST(Cli, MistakesAreNamed) {
  const auto fails_with = [](const std::string& arguments, std::string_view part) {
    const auto r = atom_program(arguments);
    EXPECT_NE(r.status, 0) << arguments;
    EXPECT_TRUE(contains(r.err, part)) << arguments << ": " << r.err;
    EXPECT_EQ(r.out, "") << arguments;
  };
  fails_with("run --model /nowhere --prompt x", "/nowhere");
  fails_with("run --model " + demo + " --prompt x --top-p 1.5", "--top-p");
  fails_with("run --model " + demo + " --prompt x --temperature -1", "--temperature");
  fails_with("run --model " + demo + " --prompt x --backend gpu", "--backend");
  fails_with("run --model " + demo + " --prompt x --tensor-parallel-size 2", "5 attention heads");
  fails_with("run --model " + demo + " --prompt x --no-such-flag", "no-such-flag");
  fails_with("", "subcommand");
}

TEST(Cli, EverySubcommandHasHelp) {
  for (const char* command :
       {"", "run", "logits", "perplexity", "tokenize", "inspect", "generate", "bench", "bench engine", "doctor"}) {
    const auto r = atom_program(std::string(command) + " --help");
    EXPECT_EQ(r.status, 0);
    EXPECT_TRUE(contains(r.out, "--help")) << r.out;
  }
  EXPECT_TRUE(contains(atom_program("run --help").out, "ATOM_MAX_TOKENS"));
}

}  // namespace
}  // namespace atom::engine
