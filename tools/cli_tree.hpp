#pragma once
// The command line as data: what the completion scripts and the manual page are made of, so that neither can fall behind the
// program.
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace atom::tools {

struct CliFlag {
  std::vector<std::string> names;  // "-p", "--prompt"; the longest last. Of an argument without dashes: its name
  std::string help, value;         // value: what it takes ("TEXT"); empty: it is a switch
  std::string otherwise;           // its default, if that is worth showing
  std::vector<std::string> choices;

  [[nodiscard]] bool is_argument() const { return !names.back().starts_with('-'); }
  /// Whether its value can be the name of a file.
  [[nodiscard]] bool takes_text() const { return value == "TEXT" && choices.empty(); }
  bool operator==(const CliFlag&) const = default;
};

struct CliCommand {
  std::string path, help;  // path: "bench engine"; of the program itself: empty
  std::vector<CliFlag> flags;
  std::vector<CliCommand> commands;

  [[nodiscard]] std::string name() const { return path.substr(path.rfind(' ') + 1); }
};

/// What app shows in its help; hidden flags are left out.
CliCommand describe(const CLI::App& app);

/// Calls f(command) for the command and all below it, a parent first.
template <class F> void for_each_command(const CliCommand& command, F&& f) {
  f(command);
  for (const CliCommand& c : command.commands) for_each_command(c, f);
}

}  // namespace atom::tools
