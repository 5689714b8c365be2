#include "cli_tree.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "atom/engine/settings.hpp"

namespace atom::tools {

namespace {

std::vector<std::string> split_choices(std::string_view list) {
  std::vector<std::string> choices;
  for (const std::string& one : CLI::detail::split(std::string(list), ',')) choices.push_back(CLI::detail::trim_copy(one));
  return choices;
}

CliFlag describe(const CLI::Option& option) {
  CliFlag f;
  if (option.get_positional()) f.names.push_back(option.get_name(true));
  for (const std::string& name : option.get_snames()) f.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) f.names.push_back("--" + name);
  // What describes it best comes last.
  std::ranges::stable_sort(f.names, {}, [](const std::string& n) { return std::pair(!n.starts_with("--no-"), n.size()); });
  f.help = option.get_description();
  const bool is_switch = option.get_expected_max() == 0 || !option.get_fnames().empty() || option.get_items_expected_max() == 0;
  std::string type = option.get_type_name();  // with what it is checked for: "TEXT:{cpu,ref}"
  if (const auto open = type.find('{'); open != type.npos)
    f.choices = split_choices(type.substr(open + 1, type.find('}') - open - 1));
  if (const std::size_t end = type.find(':'); end != type.npos) type.resize(end);
  if (type.starts_with("INT") || type.starts_with("UINT") || type == "integer") type = "INT";
  if (type == "number") type = "FLOAT";
  if (type.empty() || type == "text") type = "TEXT";
  f.value = is_switch ? "" : type;
  for (const engine::Setting& s : engine::settings())
    if (!f.names.empty() && f.names.back() == "--" + engine::flag_of(s) && f.choices.empty() && !s.choices.empty())
      f.choices = split_choices(s.choices);
  f.otherwise = option.get_default_str();
  const bool of_this_machine = f.otherwise.starts_with('/');
  if (of_this_machine || f.otherwise == "\"\"" || f.otherwise == "[]") f.otherwise.clear();
  return f;
}

CliCommand describe(const CLI::App& app, const std::string& path) {
  CliCommand c{path, app.get_description(), {}, {}};
  for (const CLI::Option* option : app.get_options())
    if (!option->get_group().empty()) c.flags.push_back(describe(*option));
  for (const CLI::App* sub :
       app.get_subcommands([](const CLI::App* a) { return !a->get_name().empty() && !a->get_group().empty(); }))
    c.commands.push_back(describe(*sub, path.empty() ? sub->get_name() : path + " " + sub->get_name()));
  return c;
}

}  // namespace

CliCommand describe(const CLI::App& app) { return describe(app, ""); }

}  // namespace atom::tools
