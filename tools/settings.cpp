// atom settings: the table of everything that can be set, as text, as the page docs/configuration.md quotes, or as JSON.
#include "atom/engine/settings.hpp"

#include <cstdio>

#include "commands.hpp"

namespace atom::tools {

namespace {

void print_table() {
  const engine::Setting* last = nullptr;
  for (const engine::Setting& s : engine::settings()) {
    if (!last || last->group != s.group) std::printf("%s%s\n", last ? "\n" : "", std::string(engine::title_of(s.group)).c_str());
    last = &s;
    std::string names = s.field.empty() ? "" : "--" + engine::flag_of(s) + (s.alias.empty() ? "" : ", " + std::string(s.alias));
    for (const std::string& variable : engine::variables_of(s)) names += (names.empty() ? "" : ", ") + variable;
    std::printf("  %s = %s\n      %.*s\n", names.c_str(), engine::default_of(s).c_str(), static_cast<int>(s.meaning.size()),
                s.meaning.data());
    if (s.effect == engine::Setting::Effect::works) continue;
    std::printf("      %s: %.*s\n", s.effect == engine::Setting::Effect::fixed ? "this value only" : "no effect",
                static_cast<int>(s.why.size()), s.why.data());
  }
}

}  // namespace

int settings(const SettingsOptions& o) {
  if (o.output == "table") print_table();
  if (o.output == "markdown") std::fputs(engine::settings_markdown().c_str(), stdout);
  if (o.output == "json") std::fputs(engine::settings_json().c_str(), stdout);
  return 0;
}

}  // namespace atom::tools
