#pragma once
// Other programs, started without a shell: an argument is an argument, whatever characters it holds.
#include <string>
#include <vector>

namespace atom::tools {

/// The file that a command name means: itself when it has a slash, else the first of $PATH; empty when there is none.
std::string find_program(const std::string& name);

struct ProcessResult {
  int status;          // the exit status; 128 + signal when it was killed
  std::string output;  // stdout and stderr together
};

/// Runs argv (argv[0] is a path) to its end, with no stdin. Throws atom::Error when it cannot be started.
ProcessResult run_process(const std::vector<std::string>& argv);

}  // namespace atom::tools
