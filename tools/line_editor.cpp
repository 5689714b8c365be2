#include "line_editor.hpp"

#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <histedit.h>
#include <langinfo.h>
#include <sys/stat.h>
#include <unistd.h>

namespace atom::tools {

namespace {

constexpr int history_lines = 1000;

struct Close {
  void operator()(EditLine* e) const { el_end(e); }
  void operator()(History* h) const { history_end(h); }
};

}  // namespace

std::string history_file() {
  const char *state = std::getenv("XDG_STATE_HOME"), *home = std::getenv("HOME");
  if (state && *state == '/') return std::string(state) + "/atom/history";
  if (home && *home == '/') return std::string(home) + "/.local/state/atom/history";
  return {};
}

struct LineEditor::State {
  std::unique_ptr<History, Close> history{history_init()};
  std::unique_ptr<EditLine, Close> editor;
  std::string file;
  const char* prompt = "";
  bool cancelled = false;

  static State& of(EditLine* e) {
    void* data = nullptr;
    el_get(e, EL_CLIENTDATA, &data);
    return *static_cast<State*>(data);
  }
};

LineEditor::LineEditor(std::string file) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.file = std::move(file);
  // Lines are bytes here and characters to the editor, which takes them apart as the locale says.
  std::setlocale(LC_CTYPE, "");
  if (std::strcmp(nl_langinfo(CODESET), "UTF-8") != 0) std::setlocale(LC_CTYPE, "C.UTF-8");
  HistEvent event;
  history(s.history.get(), &event, H_SETSIZE, history_lines);
  history(s.history.get(), &event, H_SETUNIQUE, 1);
  if (!s.file.empty()) history(s.history.get(), &event, H_LOAD, s.file.c_str());

  s.editor.reset(el_init("atom", stdin, stderr, stderr));
  EditLine* const e = s.editor.get();
  el_set(e, EL_CLIENTDATA, &s);
  el_set(
      e, EL_PROMPT, +[](EditLine* self) { return const_cast<char*>(State::of(self).prompt); });
  el_set(e, EL_EDITOR, "emacs");
  el_set(e, EL_SIGNAL, 1);
  el_set(e, EL_HIST, history, s.history.get());
  // Ctrl-C and Ctrl-Z are keys while a line is edited.
  el_set(e, EL_SETTY, "-d", "-isig", nullptr);
  el_set(
      e, EL_ADDFN, "atom-cancel", "Empty the line, or leave", +[](EditLine* self, int) -> unsigned char {
        const LineInfo* line = el_line(self);
        if (line->lastchar == line->buffer) return CC_EOF;
        State::of(self).cancelled = true;
        return CC_NEWLINE;
      });
  el_set(e, EL_BIND, "^C", "atom-cancel", nullptr);
  el_set(
      e, EL_ADDFN, "atom-suspend", "Suspend the program", +[](EditLine*, int) -> unsigned char {
        std::raise(SIGTSTP);
        return CC_REDISPLAY;
      });
  el_set(e, EL_BIND, "^Z", "atom-suspend", nullptr);
  el_set(e, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_source(e, nullptr);  // ~/.editrc
}

LineEditor::~LineEditor() {
  State& s = *state_;
  if (s.file.empty()) return;
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path folder = fs::path(s.file).parent_path();
  if (fs::create_directories(folder, error)) fs::permissions(folder, fs::perms::owner_all, error);
  const std::string part = s.file + ".part" + std::to_string(getpid());
  HistEvent event;
  const mode_t mask = umask(077);  // lines are nobody else's business
  const bool written = history(s.history.get(), &event, H_SAVE, part.c_str()) >= 0;
  umask(mask);
  if (written && std::rename(part.c_str(), s.file.c_str()) == 0) return;
  std::remove(part.c_str());
  std::fprintf(stderr, "atom: warning: %s: the history cannot be written; --no-history does without\n", s.file.c_str());
}

std::optional<std::string> LineEditor::read(const char* prompt) {
  State& s = *state_;
  s.prompt = prompt;
  for (;;) {
    s.cancelled = false;
    int size = 0;
    const char* text = el_gets(s.editor.get(), &size);
    if (!text || size <= 0) {
      std::fputc('\n', stderr);
      return {};
    }
    if (s.cancelled) {
      std::fputs("^C\n", stderr);
      continue;
    }
    std::string line(text, static_cast<std::size_t>(size));
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
    HistEvent event;
    if (line.find_first_not_of(" \t") != line.npos) history(s.history.get(), &event, H_ENTER, line.c_str());
    return line;
  }
}

}  // namespace atom::tools
