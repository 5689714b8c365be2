#pragma once
// Format: texts with places for values: '%s' % x, and '{}'.format(x).
#include <string>

#include "value.hpp"

namespace atom::engine::jinja {

/// str.format, with places {}, {0}, {name}, conversions !r !s, and the simple part of format specifications.
Value brace_format(Sandbox& sandbox, const Value& self, const Arguments& arguments);

}  // namespace atom::engine::jinja
