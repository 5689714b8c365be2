#pragma once
// Cases of tests/data/chat_templates and of the large fixtures: conversations, and what another implementation makes of them.
#include <gtest/gtest.h>
#include <string>
#include <string_view>
#include <vector>

#include "atom/engine/chat_template.hpp"

namespace atom::engine {

inline constexpr LocalTime case_time{2026, 1, 2, 3, 4, 5};

/// What a template sees of a case.
inline TemplateVariables variables_of(const Json& c) {
  TemplateVariables variables;
  variables.set_none("tools").set_none("documents");
  for (const std::string_view name : {"messages", "tools", "add_generation_prompt", "bos_token", "eos_token"}) {
    if (const Json* value = c.find(name)) variables.set(std::string(name), *value);
  }
  if (const Json* extra = c.find("extra")) variables.set_all(*extra);
  return variables;
}

/// Renders every case of <folder>/cases.json by <folder>/template.jinja.
inline void expect_cases(const ChatTemplate& chat_template, const std::string& cases_path) {
  const Json cases = Json::parse_file(cases_path);
  ASSERT_FALSE(cases.as_array("cases").empty());
  for (const Json& c : cases.as_array("cases")) {
    SCOPED_TRACE(c.get("name", ""));
    std::string text, error;
    bool refused = false;
    try {
      text = chat_template.render(variables_of(c), {}, case_time);
    } catch (const TemplateRefusal& e) {
      error = e.what();
      refused = true;
    } catch (const Error& e) {
      error = e.what();
    }
    if (const Json* expected = c.find("expected")) {
      EXPECT_EQ(error, "");
      EXPECT_EQ(text, expected->as_string("expected"));
    } else if (c.get("error_kind", "") == "raise_exception") {
      EXPECT_TRUE(refused);
      EXPECT_EQ(error, c.at("error").as_string("error"));
    } else if (error.empty()) {  // an implementation may allow more, with one result
      EXPECT_EQ(text, c.get("expected_extended", "an error"));
    }
  }
}

}  // namespace atom::engine
