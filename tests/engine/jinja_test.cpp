// The template language: what it means, by answers of Jinja itself (tests/data/chat_templates/jinja.json), and what it may cost.
#include "atom/engine/chat_template.hpp"

#include "temp_dir.hpp"

namespace atom::engine {
namespace {

using test::expect_error;

std::string render(std::string_view source, const Json& variables = Json::parse("{}", "v"), const RenderLimits& limits = {}) {
  return ChatTemplate::parse(source, "t").render(variables, limits, LocalTime{2026, 1, 2, 3, 4, 5});
}

std::string repeated(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

// ---- meaning ------------------------------------------------------------------------------------------------------------

class JinjaFeature : public testing::TestWithParam<const char*> {};

TEST_P(JinjaFeature, MeansWhatJinjaMeans) {
  const Json file = Json::parse_file(std::string(ATOM_TEST_DATA) + "/chat_templates/jinja.json");
  for (const Json& row : file.at("features").at(GetParam()).as_array("feature")) {
    const auto pair = row.as_array("case");  // source, and the text or null for an error
    const std::string& source = pair[0].as_string("source");
    SCOPED_TRACE(source);
    if (pair[1].is_null()) {
      EXPECT_THROW(static_cast<void>(render(source, file.at("variables"))), Error);
    } else {
      EXPECT_EQ(render(source, file.at("variables")), pair[1].as_string("text"));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, JinjaFeature,
                         testing::Values("Whitespace", "Literals", "Arithmetic", "Comparisons", "Access", "Tests", "TextFilters",
                                         "Numbers", "SequenceFilters", "Json", "TextMethods", "Loops", "Blocks", "Macros",
                                         "Syntax"),
                         [](const auto& name) { return std::string(name.param); });

TEST(Jinja, CountsAndCutsCodePointsInLongTexts) {
  const std::string text = repeated("aé😀-", 100);
  const Json variables = Json::parse("{\"s\": \"" + text + "\"}", "v");
  EXPECT_EQ(render("{{ s | length }}", variables), "400");
  for (int i = 0; i < 400; i += 7) {
    const std::string n = std::to_string(i);
    const char* const characters[] = {"a", "é", "😀", "-"};
    EXPECT_EQ(render("{{ s[" + n + "] }}", variables), characters[i % 4]);
    EXPECT_EQ(render("{{ s[:" + n + "] ~ s[" + n + ":] }}", variables), text);
    EXPECT_EQ(render("{{ s[" + n + ":].find('a') }}", variables), std::to_string(i > 396 ? -1 : (4 - i % 4) % 4));
  }
}

TEST(Jinja, GrowsATextInLinearTime) {
  const char* source =
      "{% set ns = namespace(s='') %}{% for i in range(20000) %}{% set ns.s = ns.s + '0123456789' %}{% endfor %}{{ ns.s }}";
  EXPECT_EQ(render(source, Json::parse("{}", "v"), {.steps = 500'000, .bytes = 4 << 20}), repeated("0123456789", 20000));
}

TEST(Jinja, NeverMixesUpTextsThatShareTheirBeginning) {
  EXPECT_EQ(render("{% set a = 'x' ~ 'y' %}{% set b = a + '1' %}{% set c = a + '2' %}{% set d = b + '3' %}{{ [a, b, c, d] }}"),
            "['xy', 'xy1', 'xy2', 'xy13']");
}

// ---- limits -------------------------------------------------------------------------------------------------------------

constexpr RenderLimits small{.steps = 300'000, .bytes = std::size_t{4} << 20, .depth = 300};

class Bad19 : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(Bad19, EndsARenderThatWouldNot) {
  const auto [source, message] = GetParam();
  expect_error([source = source] { static_cast<void>(render(source, Json::parse("{}", "v"), small)); }, message);
}

constexpr const char *steps = "more than the 300000 steps allowed", *bytes = "more than the 4194304 bytes of memory allowed",
                     *depth = "nested deeper than the 300 levels allowed";

INSTANTIATE_TEST_SUITE_P(
    , Bad19,
    testing::Values(
        std::pair("{% set l = [1, 2, 3] * 99 %}{% for i in range(9999) %}{% for j in l %}{% endfor %}{% endfor %}", steps),
        std::pair("{% for i in range(99999) %}{% set x = range(99999) %}{% endfor %}", bytes),
        std::pair("{{ 'a' * 10 ** 9 }}", bytes), std::pair("{{ 'ab' * 10 ** 18 }}", bytes),
        std::pair("{{ [1, 2] * 10 ** 18 }}", bytes),
        std::pair("{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}", bytes),
        std::pair(
            "{% set ns = namespace(s='a') %}{% for i in range(99) %}{% set x %}{{ ns.s }}{{ ns.s }}{% endset %}{% set ns.s = x %}"
            "{% endfor %}",
            bytes),
        std::pair("{% for i in range(9999) %}{{ 'a' * 9999 }}{% endfor %}", bytes),
        std::pair("{% set x = 'a' * 9999 %}{{ x | replace('a', x) }}", bytes),
        std::pair("{% set x = 'a' * 9999 %}{{ x | replace('', x) }}", bytes),
        std::pair("{% set x = 'a' * 9999 %}{{ x | join(x) }}", bytes), std::pair("{{ 'a'.center(10 ** 15) }}", bytes),
        std::pair("{{ 'a'.zfill(10 ** 15) }}", bytes), std::pair("{{ 'a' | indent(10 ** 15) }}", bytes),
        std::pair("{{ [1, [2]] | tojson(indent=10 ** 15) }}", bytes),
        std::pair("{{ ('\n' * 9999) | indent(9999, blank=true) }}", bytes), std::pair("{{ '%999999999d' % 1 }}", "above 10000"),
        std::pair("{{ '{:999999999}'.format(1) }}", "above 10000"), std::pair("{{ [1] | batch(10 ** 15, 0) | list }}", bytes),
        std::pair("{{ [1] | slice(10 ** 15) | list }}", steps), std::pair("{{ range(10 ** 9) }}", "more than 100000 items"),
        std::pair("{{ range(-9223372036854775807, 9223372036854775807) }}", "more than 100000 items"),
        std::pair("{{ range(9223372036854775807, -9223372036854775807, -1) }}", "more than 100000 items"),
        std::pair("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", depth),
        std::pair("{% macro m() %}{% call m() %}{% endcall %}{{ caller() }}{% endmacro %}{{ m() }}", depth),
        std::pair("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", depth),
        std::pair("{% set ns = namespace(x=[]) %}{% for i in range(999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}", depth),
        std::pair(
            "{% set ns = namespace(x=[]) %}{% for i in range(999) %}{% set ns.x = {1: ns.x} %}{% endfor %}{{ ns.x | tojson }}",
            depth),
        std::pair("{% set ns = namespace(x=[], y=[]) %}{% for i in range(999) %}{% set ns.x = [ns.x] %}{% set ns.y = [ns.y] %}{% "
                  "endfor %}"
                  "{{ ns.x == ns.y }}",
                  depth),
        std::pair("{% set ns = namespace() %}{% set ns.a = [ns] %}{{ ns }}", depth),
        std::pair(
            "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson }}",
            steps),
        std::pair("{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, "
                  "ns.y] %}"
                  "{% endfor %}{{ ns.x == ns.y }}",
                  steps),
        std::pair("{{ range(20000) | unique | list }}", steps), std::pair("{{ range(50000) | sort | sort | sort }}", steps),
        std::pair("{% set a = 'a' * 200000 %}{{ ('a' * 100000 ~ 'b') in a }}", steps),
        std::pair("{% set a = 'é' * 99999 %}{% for i in range(999) %}{{ a[i * 99] }}{% endfor %}", steps),
        std::pair("{% set a = 'a ' * 9999 %}{% for i in range(99) %}{{ a.split() | length }}{% endfor %}", bytes),
        std::pair("{{ 2 ** 10 ** 9 }}", "an integer beyond 64 bits"), std::pair("{{ 1.5 | round(10 ** 9) }}", "1000 digits"),
        std::pair("{{ strftime_now('%c' * 9999) }}", "more than 1000 bytes")));

TEST(Bad19Nesting, IsBoundedBeforeItIsRun) {
  const std::pair<std::string, const char*> cases[] = {
      {"{{ " + repeated("(", 5000) + "1" + repeated(")", 5000) + " }}", "nested deeper"},
      {"{{ " + repeated("[", 5000) + repeated("]", 5000) + " }}", "nested deeper"},
      {"{{ " + repeated("not ", 5000) + "1 }}", "nested deeper"},
      {"{{ " + repeated("-", 5000) + "1 }}", "nested deeper"},
      {"{{ " + repeated("1 if 0 else ", 5000) + "1 }}", "nested deeper"},
      {repeated("{% if 1 %}", 5000), "nested deeper"},
      {repeated("{% for a in b %}", 5000), "nested deeper"},
      {"{% set " + repeated("(", 5000) + "a" + repeated(")", 5000) + " = 1 %}", "nested deeper"},
      {"{{ a" + repeated(".b", 5000) + " }}", "an expression of more than 100 levels"},
      {"{{ a" + repeated("()", 5000) + " }}", "an expression of more than 100 levels"},
      {"{{ a" + repeated("|string", 5000) + " }}", "an expression of more than 100 levels"},
      {"{{ 1" + repeated(" + 1", 5000) + " }}", "an expression of more than 100 levels"},
      {"{{ 1" + repeated(" and 1", 5000) + " }}", "an expression of more than 100 levels"},
      {repeated(" ", (1 << 20) + 1), "at most 1048576"},
  };
  for (const auto& [source, message] : cases) {
    expect_error([&, text = source] { static_cast<void>(ChatTemplate::parse(text, "t")); }, message);
  }
  EXPECT_EQ(render("{% if 0 %}" + repeated("{% elif 0 %}", 5000) + "{% else %}x{% endif %}"), "x");
  EXPECT_EQ(render("{{ 1" + repeated(" ~ 1", 3000) + " }}").size(), 3001u);
}

TEST(Jinja, RendersSchemasAsDeepAsJsonAllows) {
  const std::string source =
      "{% macro m(s) %}{% if s.type == 'array' %}{% if s['items'] %}{% set t = m(s['items']) %}{{ t ~ '[]' }}{% endif %}"
      "{% else %}{{ s.type }}{% endif %}{% endmacro %}{{ m(schema) }}";
  const std::string schema = repeated(R"({"type": "array", "items": )", 60) + R"({"type": "string"})" + repeated("}", 60);
  EXPECT_EQ(render(source, Json::parse("{\"schema\": " + schema + "}", "v")), "string" + repeated("[]", 60));
}

TEST(Jinja, BoundsTheDepthOfVariables) {
  const std::string deep = "{\"x\": " + repeated("[", 500) + repeated("]", 500) + "}";
  const Json variables = Json::parse(deep, "v", {.depth = 600});
  expect_error([&] { static_cast<void>(render("{{ x }}", variables, small)); }, depth);
}

}  // namespace
}  // namespace atom::engine
