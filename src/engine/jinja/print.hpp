#pragma once
// Print: values as text, the way Python's str, repr and json.dumps write them.
#include <string>
#include <string_view>

#include "value.hpp"

namespace atom::engine::jinja {

/// str(): what {{ }} prints.
void append_str(Sandbox& sandbox, std::string& out, const Value& v);
void append_repr(Sandbox& sandbox, std::string& out, const Value& v);
/// repr of a float: the shortest digits that read back equal, "1.0", "1e-07", "inf".
void append_real(std::string& out, double value);

struct JsonStyle {
  bool ascii = false, sort_keys = false, indented = false;
  std::string_view indent;  // of one level
  std::string_view item_separator = ", ", key_separator = ": ";
};
void append_json(Sandbox& sandbox, std::string& out, const Value& v, const JsonStyle& style);

/// str() as a view: of the value itself where that is a text, else made in the sandbox.
std::string_view to_text(Sandbox& sandbox, const Value& v);

}  // namespace atom::engine::jinja
