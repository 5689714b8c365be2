// atom completion: scripts that complete atom's commands, flags and values in a shell.
#include <cstdio>

#include "cli_tree.hpp"
#include "commands.hpp"

namespace atom::tools {

namespace {

std::string replaced(std::string text, std::string_view what, std::string_view by) {
  for (std::size_t at = text.find(what); at != text.npos; at = text.find(what, at + by.size())) text.replace(at, what.size(), by);
  return text;
}
std::string quoted(const std::string& text) { return "'" + replaced(text, "'", "'\\''") + "'"; }
std::string joined(const std::vector<std::string>& parts, std::string_view between) {
  std::string out;
  for (const std::string& part : parts) out += (out.empty() ? "" : std::string(between)) + part;
  return out;
}
std::vector<std::string> names_of(const std::vector<CliCommand>& commands) {
  std::vector<std::string> names;
  for (const CliCommand& c : commands) names.push_back(c.name());
  return names;
}
// "bench engine" as part of a function's name.
std::string identifier(const std::string& path) { return "_atom" + (path.empty() ? "" : "_" + replaced(path, " ", "_")); }

std::string bash(const CliCommand& program) {
  std::string paths, values, words;
  for_each_command(program, [&](const CliCommand& c) {
    std::vector<std::string> here = names_of(c.commands);
    if (!c.path.empty()) paths += (paths.empty() ? "" : "|") + quoted((c.path == c.name() ? " " : "") + c.path);
    for (const CliFlag& f : c.flags) {
      const auto& of_argument = f.choices;
      if (f.is_argument()) here.insert(here.end(), of_argument.begin(), of_argument.end());
      if (f.is_argument()) continue;
      here.insert(here.end(), f.names.begin(), f.names.end());
      if (f.value.empty()) continue;
      std::vector<std::string> patterns;
      for (const std::string& name : f.names) patterns.push_back(quoted(c.path + ":" + name));
      values += "    " + joined(patterns, "|") + ") ";
      values += !f.choices.empty() ? "choices=" + quoted(joined(f.choices, " ")) : f.takes_text() ? "kind=file" : "kind=value";
      values += " ;;\n";
    }
    words += "    " + quoted(c.path) + ") choices=" + quoted(joined(here, " ")) + " ;;\n";
  });
  return R"(# bash completion of atom, written by `atom completion bash`
_atom() {
  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command= kind= choices= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$command ${COMP_WORDS[i]}" in
    )" + paths +
         R"() command="${command:+$command }${COMP_WORDS[i]}" ;;
    esac
  done
  # --flag=value is three words to bash
  if [[ $current == '=' ]]; then
    current=
  elif [[ $before == '=' ]]; then
    before=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  case "$command:$before" in
)" + values +
         R"(  esac
  case "$kind" in
    value) return ;;
    file) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
  esac
  [[ -n $choices ]] || case "$command" in
)" + words +
         R"(  esac
  mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$current")
}
complete -F _atom atom
)";
}

std::string zsh(const CliCommand& program) {
  const auto text = [](std::string t) {
    for (const char* special : {"\\", "[", "]", ":"}) t = replaced(t, special, std::string("\\") + special);
    return replaced(t, "'", "'\\''");
  };
  const auto action = [](const CliFlag& f) {
    return !f.choices.empty() ? "(" + joined(f.choices, " ") + ")" : f.takes_text() ? std::string("_files") : std::string(" ");
  };
  std::string out = "#compdef atom\n# zsh completion of atom, written by `atom completion zsh`\n";
  for_each_command(program, [&](const CliCommand& c) {
    out += identifier(c.path) + "() {\n  _arguments -C";
    for (const CliFlag& f : c.flags) {
      if (f.is_argument()) {
        out += " \\\n    '1:" + f.names[0] + ":" + action(f) + "'";
        continue;
      }
      const std::string value = f.value.empty() ? "" : ":" + f.value + ":" + action(f);
      const std::string names = joined(f.names, ",");
      out += f.names.size() > 1 ? " \\\n    '(" + joined(f.names, " ") + ")'{" + names + "}'" : " \\\n    '" + names;
      out += "[" + text(f.help) + "]" + value + "'";
    }
    if (!c.commands.empty()) {
      std::string list;
      for (const CliCommand& s : c.commands) list += s.name() + "\\:\"" + replaced(text(s.help), "\"", "\\\"") + "\" ";
      out += " \\\n    '1:command:((" + list + "))' \\\n    '*::argument:->argument'\n  case \"$state:${words[1]}\" in\n";
      for (const CliCommand& s : c.commands) out += "    argument:" + s.name() + ") " + identifier(s.path) + " ;;\n";
      out += "  esac";
    }
    out += "\n}\n";
  });
  return out + "compdef _atom atom\n[[ $funcstack[1] = _atom ]] && _atom \"$@\"\n";
}

std::string fish(const CliCommand& program) {
  std::string paths, lines;
  for_each_command(program, [&](const CliCommand& c) {
    if (!c.path.empty()) paths += " " + quoted(c.path);
    const std::string here = "complete -c atom -n " + quoted("__atom_at " + c.path);
    for (const CliCommand& s : c.commands) lines += here + " -f -a " + s.name() + " -d " + quoted(s.help) + "\n";
    for (const CliFlag& f : c.flags) {
      lines += here;
      for (const std::string& name : f.names)
        if (!f.is_argument()) lines += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      if (f.is_argument() || (!f.value.empty() && !f.takes_text()) || f.value.empty()) lines += " -f";
      if (!f.is_argument() && !f.value.empty()) lines += " -r";
      if (!f.choices.empty() && (f.is_argument() || !f.value.empty())) lines += " -a " + quoted(joined(f.choices, " "));
      lines += " -d " + quoted(f.help) + "\n";
    }
  });
  return "# fish completion of atom, written by `atom completion fish`\n"
         "function __atom_at\n"
         "  set -l command ''\n"
         "  for word in (commandline -opc)[2..-1]\n"
         "    set -l longer (string trim -- \"$command $word\")\n"
         "    contains -- $longer" +
         paths +
         "; and set command $longer\n"
         "  end\n"
         "  test \"$command\" = \"$argv\"\n"
         "end\n" +
         lines;
}

}  // namespace

int completion(const CLI::App& app, const std::string& shell) {
  const CliCommand program = describe(app);
  std::fputs((shell == "bash" ? bash(program) : shell == "zsh" ? zsh(program) : fish(program)).c_str(), stdout);
  return 0;
}

}  // namespace atom::tools
