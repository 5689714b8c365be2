#pragma once
// The atom program (ATOM_PROGRAM is its path), run by a shell as a user would.
#include <cstdlib>
#include <string>
#include <string_view>
#include <sys/wait.h>

#include "../engine/checkpoints.hpp"

namespace atom::test {

struct Result {
  int status;
  std::string out, err;
};

// Runs "<environment> atom <arguments> < input"; shell quoting is the caller's.
inline Result atom_program(const std::string& arguments, const std::string& input = {}, const std::string& environment = {}) {
  TempDir dir;
  const std::string in = dir.write("in", input), out = dir.path() + "/out", err = dir.path() + "/err";
  const int status =
      std::system((environment + " " ATOM_PROGRAM " " + arguments + " < " + in + " > " + out + " 2> " + err).c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(out), read_file(err)};
}

inline bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace atom::test
