// atom generate, bench, bench engine and doctor, and weights that are made up.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <gtest/gtest.h>
#include <sstream>
#include <string>
#include <vector>

#include "atom/core/processors.hpp"
#include "atom/engine/json.hpp"

#include "program.hpp"

namespace atom::engine {
namespace {

using test::atom_program;
using test::contains;

const std::string demo = ATOM_DEMO_MODEL;

std::vector<Json> lines_of(const std::string& text) {
  std::vector<Json> all;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) all.push_back(Json::parse(line, "stdout"));
  return all;
}
std::vector<int> ids_of(const Json& answer) {
  std::vector<int> ids;
  for (const auto& id : answer.at("token_ids").as_array("token_ids")) ids.push_back(static_cast<int>(id.as_int("id")));
  return ids;
}
std::string text_of(const Json& answer) { return answer.at("text").as_string("text"); }

// A directory with nothing but the demo's config.json, in another element type where one is given.
struct ConfigAlone {
  test::TempDir dir;
  explicit ConfigAlone(const std::string& dtype = "bfloat16") {
    std::string config = test::read_file(demo + "/config.json");
    config.replace(config.find("\"bfloat16\""), 10, "\"" + dtype + "\"");
    dir.write("config.json", config);
  }
};

// float32: what runs beside a request then decides no near tie of its logits.
const std::string exact = " --activation f32 --model " + demo;

TEST(Generate, AnswersAreThoseOfRunInTheOrderOfTheInput) {
  const std::vector<std::string> prompts = {"Once upon a time", "The king", "The wolf", "A", "There was", "In the"};
  std::string input;
  for (std::size_t i = 0; i < prompts.size(); ++i)  // the first ends last
    input += "{\"prompt\": \"" + prompts[i] + "\", \"max_tokens\": " + std::to_string(24 - 4 * i) + "}\n";
  std::vector<std::string> alone;
  for (std::size_t i = 0; i < prompts.size(); ++i)
    alone.push_back(
        atom_program("run --temperature 0 --prompt '" + prompts[i] + "' --max-tokens " + std::to_string(24 - 4 * i) + exact).out);
  for (const char* slots : {"1", "3", "16"}) {
    const auto r = atom_program("generate --temperature 0 --max-num-seqs " + std::string(slots) + exact, input);
    ASSERT_EQ(r.status, 0) << r.err;
    const auto answers = lines_of(r.out);
    ASSERT_EQ(answers.size(), prompts.size());
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      EXPECT_EQ(answers[i].at("index").as_int("index"), static_cast<int>(i));
      EXPECT_EQ(prompts[i] + text_of(answers[i]) + "\n", alone[i]);
      EXPECT_EQ(answers[i].at("num_tokens_output").as_int("n"), static_cast<int>(ids_of(answers[i]).size()));
      EXPECT_GT(answers[i].at("num_tokens_input").as_int("n"), 0);
      EXPECT_GE(answers[i].at("latency").as_number("latency"), answers[i].at("ttft").as_number("ttft"));
      EXPECT_GT(answers[i].at("tpot").as_number("tpot"), 0);
      EXPECT_EQ(answers[i].at("finish_reason").as_string("finish_reason"), "max_tokens");
    }
  }
}

TEST(Generate, ABadLineHarmsNoOther) {
  const std::string good = R"({"prompt": "The king", "max_tokens": 6, "temperature": 0})";
  const struct {
    std::string line, field;
  } bad[] = {
      {"not json", "line"},
      {"[1, 2]", "line"},
      {"{\"prompt\": \"a\"} {}", "line"},
      {"{\"prompt\": \"\xff\"}", "line"},
      {"{\"max_tokens\": 1}", "prompt"},
      {R"({"prompt": 5})", "prompt"},
      {R"({"prompt": "a", "messages": []})", "messages"},
      {R"({"prompt": "a", "tools": []})", "tools"},
      {R"({"messages": []})", "messages"},
      {R"({"messages": "hi"})", "messages"},
      {R"({"messages": [{"content": "no role"}]})", "messages"},
      {R"({"messages": [{"role": "user", "content": "a"}], "tools": 1})", "tools"},
      {R"({"messages": [{"role": "user", "content": "a"}], "chat_template_kwargs": {"bos_token": "x"}})", "chat_template_kwargs"},
      {R"({"prompt": []})", "prompt"},
      {R"({"prompt": [1, 4096]})", "prompt"},
      {R"({"prompt": [-1]})", "prompt"},
      {R"({"prompt": [1.5]})", "prompt"},
      {R"({"prompt": "a", "max_tokens": "many"})", "max_tokens"},
      {R"({"prompt": "a", "max_tokens": -1})", "max_tokens"},
      {R"({"prompt": "a", "temperature": -1})", "temperature"},
      {R"({"prompt": "a", "top_p": 1.5})", "top_p"},
      {R"({"prompt": "a", "n": 100000})", "n"},
      {R"({"prompt": "a", "seed": -3})", "seed"},
      {R"({"prompt": "a", "stop": [1]})", "stop"},
      {R"({"prompt": "a", "stop": ""})", "stop"},
      {R"({"prompt": "a", "logit_bias": {"x": 1}})", "logit_bias"},
      {R"({"prompt": "a", "tempreature": 1})", "tempreature"},
  };
  std::string input = good + "\n";
  for (const auto& b : bad) input += b.line + "\n\n" + good + "\n";  // a blank line is none
  const auto r = atom_program("generate --max-num-seqs 2" + exact, input);
  ASSERT_EQ(r.status, 0) << r.err;
  const auto out = lines_of(r.out);
  ASSERT_EQ(out.size(), 1 + 2 * std::size(bad));
  for (std::size_t i = 0; i < out.size(); ++i) {
    EXPECT_EQ(out[i].at("index").as_int("index"), static_cast<int>(i));
    if (i % 2 == 0) {
      EXPECT_EQ(text_of(out[i]), text_of(out[0])) << i;
    } else {
      EXPECT_EQ(out[i].at("error").at("field").as_string("field"), bad[i / 2].field) << bad[i / 2].line;
      EXPECT_FALSE(out[i].at("error").at("why").as_string("why").empty());
      EXPECT_EQ(out[i].find("text"), nullptr);
    }
  }
  EXPECT_TRUE(contains(r.err, "27 refused")) << r.err;
}

TEST(Generate, ALineBeyondTheLimitIsRefusedAndSkipped) {
  const std::string good = R"({"prompt": "The king", "max_tokens": 2})";
  const auto r = atom_program("generate" + exact, "{\"prompt\": \"" + std::string(17 << 20, 'a') + "\"}\n" + good);
  ASSERT_EQ(r.status, 0) << r.err;
  const auto out = lines_of(r.out);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_TRUE(contains(out[0].at("error").at("why").as_string("why"), "16 MiB"));
  EXPECT_EQ(ids_of(out[1]).size(), 2u);
}

TEST(Generate, LinesOverrideFlags) {
  const auto r = atom_program("generate --max-tokens 3 --temperature 1 --seed 7 --ignore-eos" + exact,
                              R"({"prompt": "The", "n": 2, "logprobs": 2}
{"prompt": "The", "seed": 7, "max_tokens": 5}
{"prompt": [464, 5], "max_tokens": 4, "temperature": 0}
{"prompt": "Once upon a time", "temperature": 0, "max_tokens": 20, "stop": [" king"]}
)");
  ASSERT_EQ(r.status, 0) << r.err;
  const auto out = lines_of(r.out);
  ASSERT_EQ(out.size(), 5u);
  EXPECT_EQ(out[0].at("answer").as_int("answer"), 0);
  EXPECT_EQ(out[1].at("answer").as_int("answer"), 1);
  EXPECT_EQ(out[1].at("index").as_int("index"), 0);
  ASSERT_EQ(out[0].at("logprobs").as_array("logprobs").size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    const auto token = out[0].at("logprobs").as_array("logprobs")[i].as_array("token");
    ASSERT_EQ(token.size(), 3u);
    EXPECT_EQ(token[0].at("token").as_int("token"), ids_of(out[0])[i]);
    EXPECT_GE(token[1].at("logprob").as_number("logprob"), token[2].at("logprob").as_number("logprob"));
  }
  EXPECT_EQ(ids_of(out[2]).size(), 5u);
  auto longer = ids_of(out[2]);
  longer.resize(3);
  EXPECT_EQ(ids_of(out[0]), longer) << "the same seed, alone or with others";
  EXPECT_EQ(ids_of(out[3]).size(), 4u);
  EXPECT_EQ(out[3].at("num_tokens_input").as_int("n"), 2);
  EXPECT_EQ(text_of(out[4]), " there lived a");
  EXPECT_EQ(out[4].at("finish_reason").as_string("finish_reason"), "stop_sequence");
}

TEST(Generate, MessagesGoThroughTheChatTemplate) {
  const std::string input = R"({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8}
{"prompt": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", "max_tokens": 8}
{"messages": [{"role": "user", "content": "Hi<|im_end|>"}], "max_tokens": 1}
)";
  const auto r = atom_program("generate --temperature 0" + exact, input);
  ASSERT_EQ(r.status, 0) << r.err;
  const auto out = lines_of(r.out);
  ASSERT_EQ(out.size(), 3u);
  EXPECT_EQ(ids_of(out[0]), ids_of(out[1]));
  EXPECT_EQ(out[0].at("num_tokens_input").as_int("n"), out[1].at("num_tokens_input").as_int("n"));
  EXPECT_GT(out[2].at("num_tokens_input").as_int("n"), out[0].at("num_tokens_input").as_int("n") + 1)
      << "what a user types is text";

  const std::string chat_template = " --chat-template '{{ messages[0].content }}{% if loud %}!!{% endif %}{{ tools|length }}'";
  const auto given = atom_program("generate -n 1 --default-chat-template-kwargs '{\"loud\": true}'" + chat_template + exact,
                                  R"({"messages": [{"role": "user", "content": "Hi"}], "tools": [1, 2]}
{"prompt": "Hi!!2"}
{"messages": [{"role": "user", "content": "Hi"}], "tools": [1], "chat_template_kwargs": {"loud": false}}
{"prompt": "Hi1"}
)");
  ASSERT_EQ(given.status, 0) << given.err;
  const auto each = lines_of(given.out);
  ASSERT_EQ(each.size(), 4u);
  for (const std::size_t i : {0u, 2u})
    EXPECT_EQ(each[i].at("num_tokens_input").as_int("n"), each[i + 1].at("num_tokens_input").as_int("n")) << i;
}

TEST(Generate, AnEmptyPromptIsTheTokenThatBeginsATextWhereThereIsOne) {
  const auto r = atom_program("generate -n 2 --temperature 0" + exact, "{\"prompt\": \"\"}\n{\"prompt\": [0]}\n");
  ASSERT_EQ(r.status, 0) << r.err;
  const auto out = lines_of(r.out);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].at("num_tokens_input").as_int("n"), 1);
  EXPECT_EQ(ids_of(out[0]), ids_of(out[1])) << "the demo's bos_token_id";
}

TEST(BAD44, AFileOfAnswersIsWholeOrNotThere) {
  test::TempDir dir;
  const std::string line = "{\"prompt\": \"The king\"}\n", out = dir.path() + "/out.jsonl";
  dir.write("out.jsonl", "before");
  const auto full = atom_program("generate --max-tokens 400 --ignore-eos -o " + out + exact, line, "trap '' XFSZ; ulimit -f 1;");
  EXPECT_EQ(full.status, 1);
  EXPECT_TRUE(contains(full.err, "out.jsonl") && contains(full.err, "cannot write")) << full.err;
  EXPECT_EQ(test::read_file(out), "before");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1) << "nothing is left behind";
  const auto device = atom_program("generate --max-tokens 2 -o /dev/full" + exact, line);
  EXPECT_EQ(device.status, 1);
  EXPECT_TRUE(contains(device.err, "/dev/full cannot be written")) << device.err;
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/full")) << "a device is not replaced";
  const auto nowhere = atom_program("generate -o /nowhere/out.jsonl" + exact, line);
  EXPECT_EQ(nowhere.status, 1);
  EXPECT_TRUE(contains(nowhere.err, "/nowhere/out.jsonl")) << nowhere.err;
}

TEST(Generate, FilesInFilesOut) {
  test::TempDir dir;
  const std::string in = dir.write("in.jsonl", "{\"prompt\": \"The king\"}\n"), out = dir.path() + "/out.jsonl";
  const auto r = atom_program("generate --max-tokens 2 -i " + in + " -o " + out + exact);
  ASSERT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.out, "");
  EXPECT_EQ(lines_of(test::read_file(out)).size(), 1u);
  EXPECT_FALSE(contains(r.err, "generating")) << "a progress bar belongs on a terminal only";
  const auto same = atom_program("generate -i " + in + " -o " + in + exact);
  EXPECT_NE(same.status, 0);
  EXPECT_TRUE(contains(same.err, "--output")) << same.err;
  EXPECT_EQ(test::read_file(in), "{\"prompt\": \"The king\"}\n");
  EXPECT_TRUE(contains(atom_program("generate -i /nowhere" + exact).err, "/nowhere"));
  EXPECT_TRUE(contains(atom_program("generate --top-p 3" + exact).err, "--top-p"));
  EXPECT_EQ(atom_program("generate" + exact).out, "") << "no prompts, no answers";
}

TEST(Bench, MeasuresEveryCombination) {
  const std::string flags = "bench -p 16,32 -n 4 -d 0,64 --threads 1,2 -r 3 --model " + demo;
  const auto json = atom_program(flags + " --output json");
  ASSERT_EQ(json.status, 0) << json.err;
  const auto rows = Json::parse(json.out, "stdout");
  ASSERT_EQ(rows.as_array("rows").size(), 12u);
  for (const auto& row : rows.as_array("rows")) {
    const auto samples = row.at("samples").as_array("samples");
    ASSERT_EQ(samples.size(), 3u);
    std::vector<double> v;
    for (const auto& s : samples) v.push_back(s.as_number("sample"));
    std::ranges::sort(v);
    EXPECT_GT(v[0], 0);
    EXPECT_EQ(row.at("median").as_number("median"), v[1]);
    EXPECT_NEAR(row.at("mean").as_number("mean"), (v[0] + v[1] + v[2]) / 3, 1e-6 * v[2]);
    EXPECT_GE(row.at("stddev").as_number("stddev"), 0);
  }
  EXPECT_EQ(rows.as_array("rows")[3].at("test").as_string("test"), "pp16 @ d64");
  const auto csv = atom_program(flags + " -o csv").out;
  EXPECT_EQ(std::ranges::count(csv, '\n'), 13);
  EXPECT_TRUE(contains(atom_program("bench -p 0 -n 2 -r 1 --model " + demo).out, "tg2"));
}

TEST(Bench, MistakesAreNamed) {
  const auto fails_with = [](const std::string& arguments, std::string_view part) {
    const auto r = atom_program(arguments + " --model " + demo);
    EXPECT_NE(r.status, 0) << arguments;
    EXPECT_TRUE(contains(r.err, part)) << arguments << ": " << r.err;
  };
  fails_with("bench -d 3000", "2048");
  fails_with("bench -p -1", "--prompt-tokens");
  fails_with("bench -r 0", "--repetitions");
  fails_with("bench --output xml", "--output");
  fails_with("bench engine --scale 100", "--scale");
  fails_with("bench engine --input-len 9", "--input-len");
  fails_with("bench engine -c 0", "--concurrency");
}

TEST(BenchEngine, CountsEveryToken) {
  const auto r = atom_program("bench engine --requests 6 --input-len 8,8 --output-len 5,5 -c 1,4 --output json --model " + demo);
  ASSERT_EQ(r.status, 0) << r.err;
  const auto rows = Json::parse(r.out, "stdout");
  ASSERT_EQ(rows.as_array("rows").size(), 2u);
  for (const auto& row : rows.as_array("rows")) {
    EXPECT_EQ(row.at("requests").as_int("requests"), 6);
    EXPECT_EQ(row.at("tokens_input").as_int("tokens_input"), 48);
    EXPECT_EQ(row.at("tokens_output").as_int("tokens_output"), 30);
    EXPECT_NEAR(row.at("output_tokens_per_second").as_number("rate") * row.at("seconds").as_number("seconds"), 30, 1e-6);
    for (const char* what : {"ttft", "tpot", "latency"}) {
      const auto& p = row.at(what);
      EXPECT_GT(p.at("p50").as_number("p50"), 0) << what;
      EXPECT_LE(p.at("p50").as_number("p50"), p.at("p90").as_number("p90"));
      EXPECT_LE(p.at("p90").as_number("p90"), p.at("p99").as_number("p99"));
    }
  }
  const auto steps = [&](std::size_t i) { return rows.as_array("rows")[i].at("steps").as_int("steps"); };
  EXPECT_EQ(steps(0), 30) << "one at a time: a step for each token";
  EXPECT_LT(steps(1), steps(0));
  const auto table = atom_program("bench engine --requests 2 --scale 0.02 --model " + demo);
  EXPECT_EQ(table.status, 0) << table.err;
  EXPECT_TRUE(contains(table.out, "TPOT"));
}

TEST(Drafts, ChangeNoTokenAndAreCountedEverywhere) {
  const std::string line =
      R"({"prompt": "The cat sat on the mat. The cat sat on the mat. The cat", "max_tokens": 40, "temperature": 0})";
  const std::string flags = "generate --activation f32 --ignore-eos --model " + demo,
                    drafts = " --method ngram --num-speculative-tokens 3";
  const auto without = atom_program(flags, line), with = atom_program(flags + drafts, line);
  ASSERT_EQ(with.status, 0) << with.err;
  const auto plain = Json::parse(without.out, "stdout"), drafted = Json::parse(with.out, "stdout");
  EXPECT_EQ(plain.at("text").as_string("text"), drafted.at("text").as_string("text"));
  EXPECT_EQ(plain.find("num_tokens_drafted"), nullptr);
  EXPECT_GT(drafted.at("num_tokens_accepted").as_int("accepted"), 3);
  EXPECT_GE(drafted.at("num_tokens_drafted").as_int("drafted"), drafted.at("num_tokens_accepted").as_int("accepted"));
  EXPECT_TRUE(contains(with.err, "; drafts: ") && contains(with.err, " tokens per step")) << with.err;
  EXPECT_FALSE(contains(without.err, "drafts"));

  const std::string bench = "bench engine --requests 2 --input-len 30,30 --output-len 60,60 -c 2 --model " + demo + drafts;
  const auto r = atom_program(bench + " --output json");
  ASSERT_EQ(r.status, 0) << r.err;
  const auto rows = Json::parse(r.out, "stdout");
  const auto& s = rows.as_array("rows")[0].at("speculation");
  std::int64_t forwards = 0, accepted = 0;
  for (const auto& [count, steps] : s.at("distribution").as_object("distribution")) {
    forwards += steps.as_int(count);
    accepted += std::stoi(count) * steps.as_int(count);
  }
  EXPECT_EQ(s.at("total_accepted_tokens").as_int("accepted"), accepted);
  EXPECT_GE(forwards + accepted, 2 * 59) << "all but the first token of each, and what was cut off at the end";
  EXPECT_NEAR(s.at("average_tokens_per_forward").as_number("tokens"),
              1 + static_cast<double>(accepted) / static_cast<double>(forwards), 1e-9);
  EXPECT_TRUE(contains(atom_program(bench).out, "\n            drafts: "));
  EXPECT_TRUE(contains(atom_program("run --raw --max-tokens 8 --prompt Once --model " + demo + drafts).err, "; drafts: "));
}

TEST(LoadDummy, NeedsConfigJsonAlone) {
  for (const std::string dtype : {"bfloat16", "float16", "float32"}) {
    const ConfigAlone model(dtype);
    const std::string at = " --model " + model.dir.path();
    EXPECT_NE(atom_program("bench -p 4 -n 0 -r 1" + at).status, 0) << "there are no weights";
    for (const char* kind : {"", "=empty", "=zero", "=random"}) {
      const auto r = atom_program("bench -p 4 -n 2 -r 1 --load-dummy" + std::string(kind) + at);
      EXPECT_EQ(r.status, 0) << dtype << kind << ": " << r.err;
      if (dtype != "bfloat16") break;  // a load-time type changes what is made, not how
    }
    EXPECT_EQ(atom_program("bench -p 4 -n 2 -r 1 --backend ref --load_dummy" + at).status, 0);
  }
  const ConfigAlone model;
  const std::string at = " --model " + model.dir.path();
  EXPECT_EQ(atom_program("bench -p 4 -n 2 -r 1 --quant int8 --load-dummy" + at).status, 0);
  EXPECT_EQ(atom_program("bench -p 4 -n 2 -r 1" + at, {}, "ATOM_LOAD_DUMMY=zero").status, 0);
  const auto bad = atom_program("bench --load-dummy=ones" + at);
  EXPECT_NE(bad.status, 0);
  EXPECT_TRUE(contains(bad.err, "--load-dummy")) << bad.err;
}

TEST(LoadDummy, HasTheShapesOfTheRealWeights) {
  const auto real = Json::parse(atom_program("inspect --json --model " + demo).out, "stdout");
  const ConfigAlone model;
  const auto dummy = Json::parse(atom_program("inspect --json --load-dummy --model " + model.dir.path()).out, "stdout");
  EXPECT_EQ(dummy.at("parameters").as_int("n"), real.at("parameters").as_int("n"));
  EXPECT_EQ(dummy.at("build").as_string("build"), real.at("build").as_string("build"));
  const auto bytes = [](const Json& j) {
    return j.at("weights_bytes").as_number("n") + j.at("weights_in_file_bytes").as_number("n");
  };
  EXPECT_NEAR(bytes(dummy) / bytes(real), 1, 0.001);
}

TEST(LoadDummy, RandomIsNoiseAndZeroIsZero) {
  const ConfigAlone model;
  const std::string input = R"({"prompt": [1, 2, 3], "max_tokens": 8, "temperature": 0, "logprobs": 1, "ignore_eos": true})";
  const auto answer = [&](const std::string& flags) {
    const auto r = atom_program("generate " + flags + " --model " + model.dir.path(), input);
    EXPECT_EQ(r.status, 0) << r.err;
    return lines_of(r.out).at(0);
  };
  const auto chosen = [](const Json& a) {
    return a.at("logprobs").as_array("l")[0].as_array("l")[0].at("logprob").as_number("logprob");
  };
  const Json zero = answer("--load-dummy=zero"), random = answer("--load-dummy");
  EXPECT_NEAR(chosen(zero), -std::log(4096.0), 1e-3) << "equal logits";
  EXPECT_GT(chosen(random), -std::log(4096.0) + 1e-3);
  EXPECT_EQ(ids_of(random), ids_of(answer("--load-dummy=random --threads 1"))) << "the same noise each time";
  EXPECT_EQ(text_of(random), "") << "no tokenizer, no text";
}

std::string one_cpu() { return std::to_string(processors().usable.back().id); }

TEST(CpuMask, PinsOrRefuses) {
  const std::string run = "run --max-tokens 4 --temperature 0 --prompt once --model " + demo;
  const auto plain = atom_program(run), masked = atom_program(run + " --cpu-mask " + one_cpu()),
             variable = atom_program(run, {}, "ATOM_CPU_MASK=" + one_cpu());
  EXPECT_EQ(masked.status, 0) << masked.err;
  EXPECT_EQ(masked.out, plain.out);
  EXPECT_EQ(variable.out, plain.out) << variable.err;
  for (const auto& [mask, why] : {std::pair{"60000", "--cpu-mask: CPU 60000 does not exist; this machine has "},
                                  std::pair{"2-1", "--cpu-mask: expected CPUs as 0-3,8 or a mask as 0x10f, found \"2-1\""}}) {
    const auto r = atom_program(run + " --cpu-mask " + mask);
    EXPECT_NE(r.status, 0);
    EXPECT_TRUE(contains(r.err, why)) << r.err;
  }
  const auto many = atom_program(run + " --threads 2 --cpu-mask " + one_cpu());
  EXPECT_NE(many.status, 0);
  EXPECT_TRUE(contains(many.err, "--cpu-mask: 2 threads do not fit on the 1 CPUs of " + one_cpu())) << many.err;
}

// Every command that loads a model refuses what `run` refuses, in its words.
TEST(Graphs, RefusedByEveryCommand) {
  for (const char* settings : {"ATOM_CUDAGRAPH_MODE=PIECEWISE", "ATOM_CUDAGRAPH_MODE=FULL", "ATOM_LEVEL=3"}) {
    const auto run = atom_program("run --max-tokens 1 --prompt once --model " + demo, {}, settings);
    EXPECT_NE(run.status, 0);
    EXPECT_TRUE(contains(run.err, "device back end; this program runs on cpu")) << run.err;
    for (const char* command : {"bench -p 1 -n 0 -r 1", "bench kernels --prefill 1 --decode 1", "inspect"}) {
      const auto r = atom_program(std::string(command) + " --model " + demo, {}, settings);
      EXPECT_EQ(r.status, run.status) << command;
      EXPECT_EQ(r.err, run.err) << command;
    }
  }
}

TEST(Doctor, SaysWhatWouldRun) {
  const auto r = atom_program("doctor --json --model " + demo);
  ASSERT_EQ(r.status, 0) << r.err;
  const auto json = Json::parse(r.out, "stdout");
  EXPECT_GE(json.at("cpu").at("usable").as_int("usable"), 1);
  EXPECT_GT(json.at("memory").at("bytes").as_number("bytes"), 1e8);
  EXPECT_TRUE(json.at("gpus").as_array("gpus").empty());
  const auto builds = json.at("builds").as_array("builds");
  EXPECT_TRUE(std::ranges::any_of(builds, [](const Json& b) { return b.at("family").as_string("family") == "Qwen3"; }));
  const std::string build = json.at("model").at("build").as_string("build");
  EXPECT_TRUE(std::ranges::any_of(builds, [&](const Json& b) { return b.at("name").as_string("name") == build; }));
  EXPECT_GT(json.at("model").at("bytes").as_number("bytes"), 2e7);

  const auto lowered = Json::parse(atom_program("doctor --json --cpu-isa avx2 --model " + demo).out, "stdout");
  EXPECT_EQ(lowered.at("cpu").at("isa").as_string("isa"), "avx2");
  EXPECT_EQ(lowered.at("cpu").at("isa_available").as_string("isa"), json.at("cpu").at("isa_available").as_string("isa"));

  const auto cpu = json.at("cpu");
  EXPECT_LE(cpu.at("default_threads").as_int("default_threads"), cpu.at("usable").as_int("usable"));
  const auto masked =
      Json::parse(atom_program("doctor --json --cpu-mask " + one_cpu() + " --model " + demo).out, "stdout").at("cpu");
  EXPECT_EQ(masked.at("default_threads").as_int("default_threads"), 1);
  EXPECT_EQ(masked.at("threads_limited_by").as_string("limit"), "cpu_mask");

  const auto refused = Json::parse(atom_program("doctor --json --model /nowhere").out, "stdout");
  EXPECT_TRUE(contains(refused.at("model").at("refusal").as_string("refusal"), "/nowhere"));
  const auto text = atom_program("doctor --model " + demo);
  EXPECT_EQ(text.status, 0);
  EXPECT_TRUE(contains(text.out, build)) << text.out;
  EXPECT_TRUE(contains(text.out, "head_dim 64, 128")) << text.out;
}

}  // namespace
}  // namespace atom::engine
