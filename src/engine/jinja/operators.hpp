#pragma once
// Operators: arithmetic, membership and access, with Python's meaning for every pair of kinds.
#include <string_view>

#include "ast.hpp"
#include "value.hpp"

namespace atom::engine::jinja {

/// add to power.
Value arithmetic(Sandbox& sandbox, Op op, const Value& a, const Value& b);
Value negate(const Value& v);
Value positive(const Value& v);
bool compare(Sandbox& sandbox, Comparison comparison, const Value& a, const Value& b);
/// item in container.
bool contains(Sandbox& sandbox, const Value& container, const Value& item);

/// object.name: an attribute or method, else the item of that name, else undefined.
Value attribute(Sandbox& sandbox, const Value& object, std::string_view name);
/// object[key]: the item, else the attribute of that name, else undefined.
Value item(Sandbox& sandbox, const Value& object, const Value& key);
/// object[start:stop:step], none for what is absent.
Value slice(Sandbox& sandbox, const Value& object, const Value& start, const Value& stop, const Value& step);

/// `values`, % formatted by `format`; a tuple, or a single value, or a dict.
Value percent_format(Sandbox& sandbox, const Value& format, const Value& values);

/// Attributes of the `loop` variable, which the interpreter keeps (interpreter.cpp).
Value loop_attribute(Sandbox& sandbox, Loop& loop, std::string_view name);
Value macro_attribute(Sandbox& sandbox, const Macro& macro, std::string_view name);

}  // namespace atom::engine::jinja
