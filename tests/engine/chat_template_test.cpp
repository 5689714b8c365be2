#include "atom/engine/chat_template.hpp"

#include <filesystem>
#include <thread>

#include "chat_cases.hpp"
#include "temp_dir.hpp"

namespace atom::engine {
namespace {

using test::expect_error;
using test::TempDir;

const std::string data = std::string(ATOM_TEST_DATA) + "/chat_templates/";

std::string render(std::string_view source, const std::string& variables = "{}", const RenderLimits& limits = {},
                   const std::optional<LocalTime>& now = {}) {
  return ChatTemplate::parse(source, "t.jinja").render(Json::parse(variables, "v.json"), limits, now);
}

// ---- published templates ----------------------------------------------------------------------------------------------

class PublishedTemplate : public testing::TestWithParam<const char*> {};

TEST_P(PublishedTemplate, RendersEveryCaseByteForByte) {
  const std::string folder = test::published("chat_templates", GetParam());
  if (folder.empty()) GTEST_SKIP() << "set ATOM_FIXTURES";
  expect_cases(ChatTemplate::parse(test::read_file(folder + "/template.jinja"), GetParam()), folder + "/cases.json");
}

INSTANTIATE_TEST_SUITE_P(, PublishedTemplate,
                         testing::Values("GLM-4.6", "Kimi-K2-Thinking", "Qwen-Qwen2.5-7B-Instruct", "Qwen-Qwen3-0.6B",
                                         "Qwen3-Coder", "deepseek-ai-DeepSeek-R1-Distill-Llama-8B", "deepseek-ai-DeepSeek-V3.1",
                                         "meta-llama-Llama-3.1-8B-Instruct", "mistralai-Mistral-Nemo-Instruct-2407",
                                         "openai-gpt-oss-120b"),
                         [](const auto& name) {
                           std::string title = name.param;
                           std::erase_if(title, [](char c) { return c == '-' || c == '.'; });
                           return title;
                         });

TEST(ChatTemplate, RendersTheCasesOfTwoPublishedTemplates) {
  for (const char* name : {"Qwen-Qwen2.5-7B-Instruct", "mistralai-Mistral-Nemo-Instruct-2407"}) {
    const std::string folder = data + name;
    expect_cases(ChatTemplate::parse(test::read_file(folder + "/template.jinja"), name), folder + "/cases.json");
  }
}

TEST(ChatTemplate, ServesManyThreads) {
  const auto chat_template = ChatTemplate::parse(test::read_file(data + "Qwen-Qwen2.5-7B-Instruct/template.jinja"), "qwen");
  const Json cases = Json::parse_file(data + "Qwen-Qwen2.5-7B-Instruct/cases.json");
  std::vector<std::string> texts(4);
  std::vector<std::thread> threads;
  for (std::string& text : texts) {
    threads.emplace_back([&text, copy = chat_template, &cases] {
      for (const Json& c : cases.as_array("cases")) {
        if (c.find("expected")) text += copy.render(variables_of(c));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::string expected;
  for (const Json& c : cases.as_array("cases")) expected += c.get("expected", "");
  for (const std::string& text : texts) EXPECT_EQ(text, expected);
}

// ---- variables --------------------------------------------------------------------------------------------------------

TEST(TemplateVariables, LaterOnesReplaceEarlierOnes) {
  const Json request = Json::parse(R"({"messages": "forged", "extra": 1})", "r");
  const Json messages = Json::parse(R"(["m"])", "m");
  TemplateVariables variables;
  variables.set_all(request).set("messages", messages).set("flag", true).set("bos_token", "<s>").set_none("tools");
  const auto t =
      ChatTemplate::parse("{{ messages }}{{ extra }}{{ flag }}{{ bos_token }}{{ tools is none }}{{ other is defined }}", "t");
  EXPECT_EQ(t.render(variables), "['m']1True<s>TrueFalse");
  EXPECT_EQ(variables.find("nothing"), nullptr);
  expect_error([&] { variables.set_all(messages); }, "expected an object");
}

TEST(TemplateVariables, KeepTheOrderAndFormOfJson) {
  EXPECT_EQ(render("{{ v }} {{ v | tojson }}", R"({"v": {"b": 1.0, "a": [1, 1e21, null, true, "é\n"]}})"),
            "{'b': 1.0, 'a': [1, 1e+21, None, True, 'é\\n']} {\"b\": 1.0, \"a\": [1, 1e+21, null, true, \"é\\n\"]}");
}

// ---- errors -------------------------------------------------------------------------------------------------------------

TEST(ChatTemplate, NamesTemplateLineAndReason) {
  expect_error([] { render("a\n\n{{ x.y }}"); }, "t.jinja: line 3: 'x' is undefined");
  expect_error([] { render("{{ x.y.z }}", R"({"x": {}})"); }, "t.jinja: line 1: 'dict object' has no attribute 'y'");
  expect_error([] { render("\n{{ 'a' + 1 }}"); }, "t.jinja: line 2: can only concatenate str (not \"int\") to str");
  expect_error([] { render("{{ x.append(1) }}", R"({"x": []})"); },
               "line 1: access to attribute 'append' of 'list' object is unsafe");
  expect_error([] { render("{{ 9223372036854775807 + 1 }}"); }, "line 1: an integer beyond 64 bits");
}

TEST(ChatTemplate, RefusesMistakesWhenItIsParsed) {
  const std::pair<const char*, const char*> cases[] = {
      {"a\n{% if x %}", "t.jinja: line 2: the end of the template, but {% endif %} is missing"},
      {"{% for x in y %}{% endif %}", "line 1: unknown tag \"endif\""},
      {"{{ a b }}", "line 1: expected }}, found \"b\""},
      {"{{ 'a }}", "line 1: a text that is never closed"},
      {"{# a", "line 1: a comment that is never closed"},
      {"{{ (1] }}", "line 1: unexpected ], expected )"},
      {"{{ 1 | no_such }}", "line 1: no filter named 'no_such' is known here"},
      {"{{ 1 is no_such }}", "line 1: no test named 'no_such' is known here"},
      {"{% include 'x' %}", "line 1: {% include %} is not supported: a chat template stands alone"},
      {"{% break %}", "line 1: \"break\" outside of a loop"},
      {"{{ 99999999999999999999 }}", "line 1: the number 99999999999999999999 does not fit in 64 bits"},
      {"{{ '\\ud83d' }}", "line 1: a text with an escape that is no character"},
      {"\xff", "t.jinja: the template is not UTF-8"},
  };
  for (const auto& [source, message] : cases) {
    const std::string_view text = source;
    expect_error([&] { ChatTemplate::parse(text, "t.jinja"); }, message);
  }
  EXPECT_EQ(render("{% if false %}{{ 1 | no_such }}{% endif %}ok"), "ok");
  expect_error([] { render("{% if true %}\n{{ 1 | no_such }}{% endif %}"); }, "t.jinja: line 2: no filter named 'no_such'");
}

TEST(ChatTemplate, PassesOnTheMessageOfRaiseException) {
  const auto t = ChatTemplate::parse("{{ raise_exception('Only ' ~ n ~ ' turns!') }}", "t");
  try {
    static_cast<void>(t.render(Json::parse(R"({"n": 2})", "v")));
    FAIL();
  } catch (const TemplateRefusal& e) {
    EXPECT_STREQ(e.what(), "Only 2 turns!");
  }
}

// ---- time ---------------------------------------------------------------------------------------------------------------

TEST(ChatTemplate, TellsTheTimeItIsGiven) {
  const char* source = "{{ strftime_now('%A, %-d %B %Y %H:%M:%S %j%%') }}";
  EXPECT_EQ(render(source, "{}", {}, LocalTime{2026, 1, 2, 3, 4, 5}), "Friday, 2 January 2026 03:04:05 002%");
  EXPECT_EQ(render("{{ strftime_now('%d %b %Y') }}", "{}", {}, LocalTime{2024, 2, 29}), "29 Feb 2024");
  EXPECT_EQ(render("{{ strftime_now('%Y') | int > 2023 }}"), "True");
  expect_error([&] { render(source, "{}", {}, LocalTime{2026, 13, 2}); }, "strftime_now");
  expect_error([&] { render("{{ strftime_now('%999999999d') }}"); }, "unknown directive");
}

// ---- model directories ----------------------------------------------------------------------------------------------------

TEST(ChatTemplate, ReadsTheTemplateOfTokenizerConfig) {
  const TempDir dir;
  expect_error([&] { ChatTemplate::from_dir(dir.path()); }, "no chat template");
  EXPECT_FALSE(ChatTemplate::exists_in(dir.path()));
  dir.write("tokenizer_config.json", R"({"chat_template": "{{ bos_token }}{{ eos_token }}|{{ pad_token is defined }}",
    "bos_token": "<s>", "eos_token": {"content": "</s>"}, "add_bos_token": true, "pad_token": null})");
  EXPECT_TRUE(ChatTemplate::exists_in(dir.path()));
  const auto t = ChatTemplate::from_dir(dir.path());
  EXPECT_EQ(t.render(TemplateVariables()), "<s></s>|False");
  EXPECT_EQ(t.render(TemplateVariables().set("bos_token", "B")), "B</s>|False");
  dir.write("chat_template.jinja", "alone {{ eos_token }}\n");
  EXPECT_EQ(ChatTemplate::from_dir(dir.path()).render(TemplateVariables()), "alone </s>");
}

TEST(ChatTemplate, ChoosesAmongNamedTemplates) {
  const TempDir dir;
  const Json none = Json::parse("[]", "t");
  const auto both = [&] {
    const auto t = ChatTemplate::from_dir(dir.path());
    return t.render(TemplateVariables().set_none("tools")) + t.render(TemplateVariables()) +
           t.render(TemplateVariables().set("tools", none));
  };
  dir.write("tokenizer_config.json",
            R"({"chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]})");
  EXPECT_EQ(both(), "DDT");
  dir.write("chat_template.jinja", "A");
  EXPECT_EQ(both(), "AAA");
  std::filesystem::create_directory(dir.path() + "/additional_chat_templates");
  dir.write("additional_chat_templates/tool_use.jinja", "B");
  EXPECT_EQ(both(), "AAB");
}

TEST(ChatTemplate, RefusesConfigsWithoutADefault) {
  const TempDir dir;
  dir.write("tokenizer_config.json", R"({"chat_template": [{"name": "rag", "template": "R"}]})");
  expect_error([&] { ChatTemplate::from_dir(dir.path()); }, "no chat template");
  dir.write("tokenizer_config.json", R"({"chat_template": 5})");
  expect_error([&] { ChatTemplate::from_dir(dir.path()); }, "chat_template: expected an array");
  dir.write("tokenizer_config.json", R"({"chat_template": "{{"})");
  expect_error([&] { ChatTemplate::from_dir(dir.path()); }, "tokenizer_config.json: chat_template: line 1: ");
}

}  // namespace
}  // namespace atom::engine
