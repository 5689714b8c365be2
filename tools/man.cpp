// atom man: the manual page, in the macros of man(7).
#include <algorithm>
#include <cstdio>

#include "cli_tree.hpp"
#include "commands.hpp"

namespace atom::tools {

namespace {

// Text as roff reads it, in lines.
std::string roff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c == '\n' ? ' ' : c;
  }
  return out;
}
std::string filled(std::string_view text) {
  constexpr std::size_t width = 78;
  std::string out;
  for (std::size_t line = 0; !text.empty();) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const bool breaks = line > 0 && line + 1 + word.size() > width;
    out += line == 0 ? "" : breaks ? "\n" : " ";
    line = line == 0 || breaks ? 0 : line + 1;
    const bool request = line == 0 && (word.starts_with('.') || word.starts_with('\''));
    out += (request ? "\\&" : "") + std::string(word);
    line += word.size();
  }
  return out + "\n";
}
std::string bold(std::string_view text) { return "\\fB" + roff(text) + "\\fR"; }
std::string italic(std::string_view text) { return "\\fI" + roff(text) + "\\fR"; }

std::string entry(const CliFlag& f) {
  std::string out = ".TP\n";
  for (std::size_t i = 0; i < f.names.size(); ++i) out += (i ? ", " : "") + bold(f.names[i]);
  if (!f.value.empty() && !f.is_argument()) out += " " + italic(f.value);
  std::string text = roff(f.help) + ".";
  std::string choices;
  for (const std::string& c : f.choices) choices += (choices.empty() ? " One of " : ", ") + bold(c);
  if (!choices.empty()) text += choices + ".";
  if (!f.otherwise.empty()) text += " Default: " + roff(f.otherwise) + ".";
  return out + "\n" + filled(text);
}

bool is_help(const CliFlag& f) { return f.names.back() == "--help"; }

}  // namespace

int man(const CLI::App& app) {
  const CliCommand program = describe(app);
  // Flags that several commands take are described once.
  std::vector<std::pair<CliFlag, int>> seen;
  for_each_command(program, [&](const CliCommand& c) {
    for (const CliFlag& f : c.flags) {
      const auto same = std::ranges::find(seen, f, &std::pair<CliFlag, int>::first);
      same == seen.end() ? void(seen.emplace_back(f, 1)) : void(++same->second);
    }
  });
  const auto is_common = [&](const CliFlag& f) {
    return std::ranges::any_of(seen, [&](const auto& s) { return s.first == f && s.second > 2; });
  };

  std::string out = ".TH ATOM 1 \"" ATOM_DATE "\" \"atom " ATOM_VERSION "\" \"User Commands\"\n";
  out += ".SH NAME\natom \\- LLM inference\n.SH SYNOPSIS\n.B atom\n.I command\n.RI [ flags ]\n.SH DESCRIPTION\n";
  out += filled(roff(program.help)) + ".PP\nResults go to standard output, everything else to standard error.\n.SH COMMANDS\n";
  for_each_command(program, [&](const CliCommand& c) {
    if (c.path.empty()) return;
    out += ".SS atom " + roff(c.path) + "\n" + filled(roff(c.help) + ".");
    std::string common;
    for (const CliFlag& f : c.flags) {
      if (is_help(f)) continue;
      if (is_common(f))
        common += (common.empty() ? "" : ", ") + bold(f.names.back());
      else
        out += entry(f);
    }
    if (!common.empty()) out += ".PP\n" + filled("And the common flags " + common + ".");
  });
  out += ".SH COMMON FLAGS\n";
  for (const auto& [flag, count] : seen)
    if (count > 2) out += entry(flag);
  out += R"(.SH ENVIRONMENT
.TP
.B ATOM_\fISOME_FLAG\fR
The value of \fB\-\-\fIsome\-flag\fR; the command line wins.
.TP
.B XDG_STATE_HOME
Where the history of
.B atom run
is kept; without it, ~/.local/state.
.SH FILES
.TP
.I ~/.local/state/atom/history
Lines typed to
.BR "atom run" ,
readable by their owner alone.
.SH EXIT STATUS
0, or a number above it, with one line on standard error that says what is
wrong and what to do.
.SH EXAMPLES
.nf
atom run
atom run \-\-prompt "Once upon a time" \-\-temperature 0
atom generate \-\-input prompts.jsonl \-\-output answers.jsonl
.fi
)";
  std::fputs(out.c_str(), stdout);
  return 0;
}

}  // namespace atom::tools
