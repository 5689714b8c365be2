#pragma once
// LineEditor: lines from a terminal, with arrow keys and a history that survives the program.
#include <memory>
#include <optional>
#include <string>

namespace atom::tools {

/// $XDG_STATE_HOME/atom/history, or ~/.local/state/atom/history; empty where neither is known.
std::string history_file();

class LineEditor {
 public:
  /// Reads stdin, draws on stderr. history: a file, or empty for a history that is forgotten.
  explicit LineEditor(std::string history);
  ~LineEditor();  ///< writes the history
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  /// The next line, without its newline. Nothing at the end: Ctrl-D or Ctrl-C on an empty line. (Ctrl-C empties another one.)
  std::optional<std::string> read(const char* prompt);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace atom::tools
