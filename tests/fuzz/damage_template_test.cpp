// Deterministic damage to templates and to what they are given: a template must render or throw atom::Error, within its limits.
// Run it under the address and undefined-behaviour sanitizers; a failure prints the seed that repeats it.
#include <fstream>
#include <gtest/gtest.h>
#include <random>
#include <vector>

#include "../engine/temp_dir.hpp"
#include "targets.hpp"

namespace atom::fuzz {
namespace {

constexpr unsigned first_seed = 20260102;

const std::string data = std::string(ATOM_TEST_DATA) + "/chat_templates/";

/// Pieces of the language: what mutations put in, and where they cut.
constexpr std::string_view pieces[] = {"{%",
                                       "%}",
                                       "{{",
                                       "}}",
                                       "{#",
                                       "#}",
                                       "-%}",
                                       "{%-",
                                       "+%}",
                                       "{% if x %}",
                                       "{% else %}",
                                       "{% endif %}",
                                       "{% for x in messages %}",
                                       "{% endfor %}",
                                       "{% set x = ",
                                       "{% set ns = namespace(x=messages) %}",
                                       "{% set ns.x = ns %}",
                                       "{% macro m(x, y=1) %}",
                                       "{% endmacro %}",
                                       "{{ m(m) }}",
                                       "{{ loop(messages) }}",
                                       " recursive ",
                                       "{% break %}",
                                       "{% continue %}",
                                       "{% raw %}",
                                       "{% endraw %}",
                                       "{% call m() %}",
                                       "{% endcall %}",
                                       "{% filter upper %}",
                                       "{% endfilter %}",
                                       "{% set q %}",
                                       "{% endset %}",
                                       "|tojson(indent=2)",
                                       "|map('upper')",
                                       "|map(attribute='role')",
                                       "|selectattr('role')",
                                       "|list",
                                       "|sort",
                                       "|reverse",
                                       "|join('x')",
                                       "|first",
                                       "|last",
                                       "|items",
                                       "|length",
                                       "|int",
                                       "|float",
                                       "|round(2)",
                                       "|replace('a', 'bb')",
                                       "|indent(99)",
                                       "|batch(3, 0)",
                                       "|slice(3)",
                                       "|unique",
                                       "|groupby('role')",
                                       "|dictsort",
                                       "|safe",
                                       "|trim('a')",
                                       "|format(1)",
                                       "|title",
                                       "|truncate(5)",
                                       " is defined",
                                       " is not none",
                                       " is sequence",
                                       " in ",
                                       " not in ",
                                       " and ",
                                       " or ",
                                       " not ",
                                       " if ",
                                       " else ",
                                       " ~ ",
                                       " + ",
                                       " - ",
                                       " * ",
                                       " / ",
                                       " // ",
                                       " % ",
                                       " ** ",
                                       " == ",
                                       " < ",
                                       "(",
                                       ")",
                                       "[",
                                       "]",
                                       "{",
                                       "}",
                                       ":",
                                       ",",
                                       ".",
                                       "[1:]",
                                       "[::-1]",
                                       "[-1]",
                                       "[:2]",
                                       ".split('e')",
                                       ".items()",
                                       ".strip()",
                                       ".get('role')",
                                       ".append(1)",
                                       ".format(1)",
                                       ".find('a')",
                                       ".title()",
                                       ".__class__",
                                       "loop.index",
                                       "loop.last",
                                       "loop.length",
                                       "loop.nextitem",
                                       "loop.cycle(1, 2)",
                                       "messages",
                                       "tools",
                                       "none",
                                       "true",
                                       "missing",
                                       "x",
                                       "ns",
                                       "caller()",
                                       "varargs",
                                       "kwargs",
                                       "range(9)",
                                       "dict(a=1)",
                                       "cycler(1)",
                                       "joiner()",
                                       "raise_exception('a')",
                                       "strftime_now('%Y')",
                                       "'",
                                       "\"",
                                       "'\\u00e9'",
                                       "0",
                                       "1",
                                       "-1",
                                       "9223372036854775807",
                                       "1e308",
                                       "0.5",
                                       "10**9",
                                       "\xc3\xa9",
                                       "\xff",
                                       "\n",
                                       " ",
                                       "*x",
                                       "**x",
                                       "=1"};

std::size_t below(std::mt19937& random, std::size_t n) { return n == 0 ? 0 : random() % n; }

std::string damaged(std::string s, const std::string& other, std::mt19937& random) {
  for (std::size_t edits = 1 + below(random, 5); edits > 0; --edits) {
    const std::size_t at = below(random, s.size() + 1), length = 1 + below(random, 30);
    switch (below(random, 7)) {
      case 0:
      case 1: s.insert(at, pieces[below(random, std::size(pieces))]); break;
      case 2: s.replace(at, length, pieces[below(random, std::size(pieces))]); break;
      case 3: s.erase(at, length); break;
      case 4: s.insert(at, other, below(random, other.size()), 2 * length); break;
      case 5: s.insert(at, s, below(random, s.size()), 4 * length); break;
      default:
        if (at < s.size()) s[at] = static_cast<char>(s[at] ^ (1 << below(random, 8)));
    }
  }
  return s;
}

/// A text made of pieces alone.
std::string invented(std::mt19937& random) {
  std::string s = below(random, 2) ? "{% set ns = namespace(x=messages) %}{{ " : "{{ ";
  for (std::size_t n = 1 + below(random, 12); n > 0; --n) s += pieces[below(random, std::size(pieces))];
  return s + " }}";
}

void count(int (&outcomes)[3], const std::string& source, const std::string& variables, unsigned seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  EXPECT_NO_THROW(++outcomes[static_cast<int>(chat_template(source + '\0' + variables))]);
}

TEST(DamageTemplate, DamagedTemplatesRenderOrThrow) {
  std::vector<std::string> cases;
  std::ifstream file(data + "mistralai-Mistral-Nemo-Instruct-2407/cases.json");
  for (std::string line; std::getline(file, line);)  // one conversation a line
    if (line.starts_with('{')) cases.push_back(line.substr(0, line.rfind('}') + 1));
  ASSERT_GT(cases.size(), 3u);
  const std::string seeds[] = {test::read_file(data + "mistralai-Mistral-Nemo-Instruct-2407/template.jinja"),
                               test::read_file(data + "Qwen-Qwen2.5-7B-Instruct/template.jinja")};
  int outcomes[3] = {};
  for (unsigned seed = first_seed; seed < first_seed + 500; ++seed) {
    std::mt19937 random(seed);
    const std::string source = damaged(seeds[seed % 2], seeds[1 - seed % 2], random);
    count(outcomes, source, cases[below(random, cases.size())], seed);
  }
  for (const int n : outcomes) EXPECT_GT(n, 5) << "the damage should lead everywhere";
}

TEST(DamageTemplate, InventedTemplatesRenderOrThrow) {
  const std::string variables = R"({"messages": [{"role": "user", "content": "a é"},)"
                                R"({"role": "assistant", "content": null, "n": [1, 2.5]}], "tools": null, "x": "axa"})";
  int outcomes[3] = {};
  for (unsigned seed = first_seed; seed < first_seed + 5000; ++seed) {
    std::mt19937 random(seed);
    count(outcomes, invented(random), variables, seed);
  }
  for (const int n : outcomes) EXPECT_GT(n, 30) << "the inventions should lead everywhere";
}

/// Values of every kind, nested.
std::string random_json(std::mt19937& random, int levels) {
  constexpr std::string_view scalars[] = {"null",
                                          "true",
                                          "0",
                                          "-7",
                                          "2.5",
                                          "1e300",
                                          "\"\"",
                                          "\"user\"",
                                          "\"a \\n<b>&'\"",
                                          "\"\\u00e9\\ud83d\\ude00\"",
                                          "\"tool\"",
                                          "\"assistant\"",
                                          "9223372036854775807"};
  constexpr std::string_view keys[] = {"role",      "content", "tool_calls", "function", "name",
                                       "arguments", "id",      "items",      "type",     "text"};
  const std::size_t kind = levels > 0 ? below(random, 4) : 0;
  if (kind < 2) return std::string(scalars[below(random, std::size(scalars))]);
  std::string out = kind == 2 ? "[" : "{";
  const std::size_t n = below(random, 4), first = below(random, 7);
  for (std::size_t i = 0; i < n; ++i) {
    if (i > 0) out += ", ";
    if (kind == 3) out += "\"" + std::string(keys[first + i]) + "\": ";
    out += random_json(random, levels - 1);
  }
  return out + (kind == 2 ? "]" : "}");
}

TEST(DamageTemplate, AnyValuesRenderOrThrow) {
  int outcomes[3] = {};
  for (const char* name : {"mistralai-Mistral-Nemo-Instruct-2407", "Qwen-Qwen2.5-7B-Instruct"}) {
    const std::string source = test::read_file(data + name + "/template.jinja");
    for (unsigned seed = first_seed; seed < first_seed + 150; ++seed) {
      std::mt19937 random(seed);
      count(outcomes, source,
            "{\"messages\": [{\"role\": " + random_json(random, 1) + ", \"content\": " + random_json(random, 2) + "}, " +
                random_json(random, 4) + "], \"tools\": " + random_json(random, 4) + "}",
            seed);
    }
  }
  EXPECT_GT(outcomes[static_cast<int>(Outcome::accepted)], 20);
  EXPECT_GT(outcomes[static_cast<int>(Outcome::refused)], 100);
  EXPECT_EQ(outcomes[static_cast<int>(Outcome::rejected)], 0) << "the templates are sound";
}

}  // namespace
}  // namespace atom::fuzz
