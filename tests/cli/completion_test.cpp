// atom completion and atom man: each shell and formatter that is there reads them.
#include <cstdlib>
#include <gtest/gtest.h>
#include <string>

#include "program.hpp"

namespace atom {
namespace {

using test::atom_program;
using test::contains;
using test::TempDir;

// The output of a shell command, both streams; `status` is checked.
std::string shell(const std::string& command, int status = 0) {
  TempDir dir;
  const std::string out = dir.path() + "/out";
  const int result = std::system(("{ " + command + "; } > " + out + " 2>&1").c_str());
  std::string text = test::read_file(out);
  EXPECT_EQ(WIFEXITED(result) ? WEXITSTATUS(result) : -1, status) << command << "\n" << text;
  return text;
}
bool has(const std::string& program) { return std::system(("command -v " + program + " > /dev/null 2>&1").c_str()) == 0; }

class Completion : public testing::TestWithParam<const char*> {};

TEST_P(Completion, TheShellReadsIt) {
  const std::string name = GetParam();
  const auto r = atom_program("completion " + name);
  ASSERT_EQ(r.status, 0) << r.err;
  for (const char* part : {"generate", "max-tokens", "amx"}) EXPECT_TRUE(contains(r.out, part)) << part;
  if (!has(name)) GTEST_SKIP() << name << " is not installed";
  TempDir dir;
  EXPECT_EQ(shell(name + " -n " + dir.write("script", r.out)), "");
}
INSTANTIATE_TEST_SUITE_P(, Completion, testing::Values("bash", "zsh", "fish"), [](const auto& shell) { return shell.param; });

// What bash offers at the end of a line; its words are separated by spaces.
std::string bash_completes(const std::string& line) {
  TempDir dir;
  const std::string script = dir.write("atom.bash", atom_program("completion bash").out);
  const std::string test = dir.write("test.bash", "source " + script + R"(
compopt() { :; }  # which works inside a real completion alone
IFS=' ' read -r -a COMP_WORDS <<< ")" + line + R"("
[[ ")" + line + R"(" == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_atom
echo "${COMPREPLY[*]}"
)");
  return shell("cd " + dir.path() + " && bash " + test);
}

TEST(BashCompletion, CompletesCommandsFlagsAndValues) {
  EXPECT_EQ(bash_completes("atom gen"), "generate\n");
  EXPECT_EQ(bash_completes("atom bench eng"), "engine\n");
  EXPECT_EQ(bash_completes("atom run --max-tok"), "--max-tokens\n");
  EXPECT_EQ(bash_completes("atom bench engine --concur"), "--concurrency\n");
  EXPECT_EQ(bash_completes("atom run --concur"), "\n") << "that is no flag of run";
  EXPECT_EQ(bash_completes("atom completion "), "-h --help bash zsh fish\n");
  EXPECT_EQ(bash_completes("atom run --activation "), "f32 bf16\n");
  EXPECT_EQ(bash_completes("atom run --activation = b"), "bf16\n") << "--activation=b, as bash takes it apart";
  EXPECT_EQ(bash_completes("atom run --max-tokens "), "\n") << "a number is the user's to choose";
  EXPECT_EQ(bash_completes("atom generate --input te"), "test.bash\n");
}

TEST(Man, FormattersReadIt) {
  const auto r = atom_program("man");
  ASSERT_EQ(r.status, 0) << r.err;
  EXPECT_TRUE(r.out.starts_with(".TH ATOM 1 ")) << r.out.substr(0, 80);
  for (const char* part : {".SS atom bench engine", "\\-\\-max\\-tokens", "ATOM_", ".SH EXIT STATUS"})
    EXPECT_TRUE(contains(r.out, part)) << part;
  EXPECT_FALSE(contains(r.out, ATOM_DEMO_MODEL)) << "a folder of this machine";
  TempDir dir;
  const std::string page = dir.write("atom.1", r.out);
  if (has("mandoc")) {
    EXPECT_EQ(shell("mandoc -T lint -W style " + page), "");
  }
  if (has("man") && has("groff")) {
    EXPECT_EQ(shell("man --warnings -E UTF-8 -l " + page + " 2>&1 > /dev/null"), "");
  }
  if (!has("mandoc") && !has("groff")) GTEST_SKIP() << "neither mandoc nor groff is installed";
}

}  // namespace
}  // namespace atom
