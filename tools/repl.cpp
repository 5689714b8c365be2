#include "repl.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <unistd.h>

#include "atom/core/error.hpp"

#include "dialogue.hpp"
#include "interrupt.hpp"
#include "line_editor.hpp"

namespace atom::tools {

namespace {

struct Line {
  std::string_view command, text;  // command: with its slash; empty: all of the line is text
};

Line parse(std::string_view line) {
  constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz";
  if (!line.starts_with('/')) return {{}, line};
  const std::size_t end = std::min(line.find_first_not_of(letters, 1), line.size());
  if (end == 1 || (end < line.size() && line[end] != ' ')) return {{}, line};  // "/usr/bin is ..."
  const std::size_t text = std::min(line.find_first_not_of(' ', end), line.size());
  return {line.substr(0, end), line.substr(text)};
}

struct Command {
  const char *name, *help;
  bool (*run)(Dialogue&, std::string_view text, const InterruptGuard&);  // false: leave
};

void chat_only(const Dialogue& dialogue) {
  if (!dialogue.is_chat()) throw Error("there is no conversation here: every line is continued on its own (--raw)");
}

bool help(Dialogue&, std::string_view, const InterruptGuard&);

bool leave(Dialogue&, std::string_view, const InterruptGuard&) { return false; }

constexpr std::array commands{
    Command{"/help", "this list", help},
    Command{"/regen", "answer the last line again, with another seed",
            [](Dialogue& d, std::string_view, const InterruptGuard& guard) {
              d.answer_again(&guard);
              return true;
            }},
    Command{"/clear", "forget the conversation",
            [](Dialogue& d, std::string_view, const InterruptGuard&) {
              chat_only(d);
              d.clear();
              return true;
            }},
    Command{"/system", "TEXT: what the model is told before the conversation; without TEXT, nothing",
            [](Dialogue& d, std::string_view text, const InterruptGuard&) {
              chat_only(d);
              d.set_system(std::string(text));
              return true;
            }},
    Command{"/exit", "leave; so do /quit, Ctrl-D, and Ctrl-C on an empty line", leave},
    Command{"/quit", nullptr, leave},
};

bool help(Dialogue&, std::string_view, const InterruptGuard&) {
  for (const Command& c : commands)
    if (c.help) std::fprintf(stderr, "  %-8s %s\n", c.name, c.help);
  std::fputs("  Ctrl-C while an answer is written ends it there; any other line is yours to say\n", stderr);
  return true;
}

// False: leave.
bool obey(Dialogue& dialogue, const std::string& line, const InterruptGuard& guard) {
  const auto [name, text] = parse(line);
  if (name.empty()) {
    dialogue.say(line, &guard);
    return true;
  }
  const auto command = std::ranges::find_if(commands, [&n = name](const Command& c) { return n == c.name; });
  if (command == commands.end()) throw Error(std::string(name) + ": no such command; /help lists them");
  return command->run(dialogue, text, guard);
}

}  // namespace

void repl(Dialogue& dialogue, bool history) {
  InterruptGuard guard;              // for good: Ctrl-C may come just when an answer has ended
  std::optional<LineEditor> editor;  // needs a terminal to draw on
  if (isatty(STDERR_FILENO) == 1) editor.emplace(history ? history_file() : std::string());
  const auto next = [&]() -> std::optional<std::string> {
    if (editor) return editor->read("> ");
    std::string line;
    return std::getline(std::cin, line) ? std::optional(line) : std::nullopt;
  };
  std::fputs(dialogue.is_chat() ? "A chat; /help lists commands.\n" : "Every line is continued; /help lists commands.\n", stderr);
  while (const std::optional<std::string> line = next()) {
    if (line->find_first_not_of(" \t") == line->npos) continue;
    try {
      guard.reset();
      if (!obey(dialogue, *line, guard)) return;
    } catch (const Error& e) {  // of this line; the next one may do
      std::fprintf(stderr, "atom: %s\n", e.what());
    }
  }
}

}  // namespace atom::tools
