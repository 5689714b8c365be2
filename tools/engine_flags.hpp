#pragma once
// The settings table (atom/engine/settings.hpp) as flags of a command. Flags win over variables, variables over the file that
// --config names, that over defaults.
// What accepts one value only is parsed, so that it can be refused with its reason, and left out of --help.
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "atom/engine/settings.hpp"

namespace atom::tools {

/// "-tp" and "--tp" of a row's aliases "-t, -tp": CLI11 knows single letters after one dash only.
inline std::vector<std::string> aliases_of(const engine::Setting& setting) {
  std::vector<std::string> names;
  for (const std::string& alias : CLI::detail::split(std::string(setting.alias), ','))
    if (const std::string name = CLI::detail::trim_copy(alias); !name.empty()) names.push_back(name);
  return names;
}

/// Which settings a command takes: those of the model, or those of an engine that serves many requests too.
enum class Flags : unsigned char { model, engine };

/// Adds the flags; when the command line has been read, `args` holds what was asked for. except: a field that the command
/// treats in its own way.
inline void add_engine_flags(CLI::App* app, engine::EngineArgs& args, Flags which, std::string_view except = {}) {
  struct Given {
    std::string file;
    std::map<const engine::Setting*, std::string> one;
    std::map<const engine::Setting*, std::vector<std::string>> many;
  };
  const auto given = std::make_shared<Given>();
  app->add_option("--config", given->file, "A JSON file with settings by their field names")->envname("ATOM_CONFIG");
  for (const engine::Setting& s : engine::settings()) {
    const bool wanted = which == Flags::engine || s.group == engine::SettingGroup::model;
    if (s.field.empty() || s.field == except || !wanted) continue;
    const std::string flag = engine::flag_of(s);
    std::string names = "--" + flag;
    for (const std::string& alias : aliases_of(s)) names += "," + (alias.size() > 2 ? "-" + alias : alias);
    std::string help(s.meaning);
    for (const std::string& variable : engine::variables_of(s)) help += " (" + variable + ")";
    const engine::SettingType type = engine::type_of(s);
    CLI::Option* added = nullptr;
    if (type == engine::SettingType::boolean)
      added = app->add_flag(names + ",--no-" + flag + "{false}", given->one[&s], help);
    else if (!s.bare.empty())
      added = app->add_flag(names + "{" + std::string(s.bare) + "}", given->one[&s], help);
    else if (type == engine::SettingType::integers)
      added = app->add_option(names, given->many[&s], help)->delimiter(',')->allow_extra_args(false);
    else
      added = app->add_option(names, given->one[&s], help);
    if (type != engine::SettingType::boolean) added->default_str(engine::get(args, s));
    added->type_name(type == engine::SettingType::boolean ? "" : std::string(engine::name_of(type)));
    added->group(s.effect == engine::Setting::Effect::works ? std::string(engine::title_of(s.group)) : "");
  }
  app->parse_complete_callback([given, &args, except = std::string(except)] {
    if (!given->file.empty()) engine::apply_file(args, given->file);
    engine::apply_environment(args, except);
    const auto set = [&](const engine::Setting& s, const std::string& text) {
      if (!text.empty()) engine::set(args, s, text, "--" + engine::flag_of(s));
    };
    for (const auto& [setting, text] : given->one) set(*setting, text);
    for (const auto& [setting, list] : given->many) set(*setting, CLI::detail::join(list, ","));
  });
}

}  // namespace atom::tools
