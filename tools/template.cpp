// atom template: renders chat templates, for checking one against other implementations.
#include <cstdio>
#include <iostream>
#include <optional>

#include "atom/core/error.hpp"
#include "atom/engine/chat_template.hpp"

#include "commands.hpp"
#include "common.hpp"

namespace atom::tools {
namespace {

std::optional<engine::LocalTime> clock_of(const std::string& now) {
  if (now.empty()) return std::nullopt;
  engine::LocalTime t{};
  int used = 0;
  const int fields =
      std::sscanf(now.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d%n", &t.year, &t.month, &t.day, &t.hour, &t.minute, &t.second, &used);
  if (fields != 6 || static_cast<std::size_t>(used) != now.size())
    throw Error("--now: expected a time like 2026-01-02T03:04:05, found " + now);
  return t;
}

/// The variables of a line, as a server passes them: what is absent is none (tools, documents), false, or undefined.
engine::TemplateVariables variables_of(const engine::Json& line) {
  engine::TemplateVariables variables;
  variables.set_none("tools").set_none("documents").set("add_generation_prompt", false);
  for (const auto& [name, value] : line.as_object("conversation"))
    if (name != "extra") variables.set(name, value);
  if (const engine::Json* extra = line.find("extra")) variables.set_all(*extra);
  return variables;
}

}  // namespace

int render_template(const TemplateOptions& o) {
  if (o.file.empty() && o.model.empty()) throw Error("atom template: give --template FILE or --model DIR");
  const auto chat_template =
      o.file.empty() ? engine::ChatTemplate::from_dir(o.model) : engine::ChatTemplate::parse(read_text(o.file), o.file);
  const auto clock = clock_of(o.now);
  std::string line, out;
  for (std::size_t number = 1; std::getline(std::cin, line); ++number) {
    if (line.empty()) continue;
    try {
      const auto json = engine::Json::parse(line, "stdin: line " + std::to_string(number));
      const std::string text = chat_template.render(variables_of(json), {}, clock);
      out = "{\"text\": ";
      engine::append_json_string(out, text);
    } catch (const Error& e) {
      out = "{\"error\": ";
      engine::append_json_string(out, e.what());
    }
    out += "}\n";
    std::fwrite(out.data(), 1, out.size(), stdout);
  }
  return 0;
}

}  // namespace atom::tools
