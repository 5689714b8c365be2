#include "natives.hpp"

#include <algorithm>
#include <array>

namespace atom::engine::jinja {
namespace {

Native find_in(std::span<const NativeEntry> table, std::string_view name) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const NativeEntry& e) { return e.name == name; });
  return found == table.end() ? nullptr : found->function;
}

}  // namespace

Native find_filter(std::string_view name) {
  for (const auto table : {text_filters(), sequence_filters(), selecting_filters(), number_filters()}) {
    if (const Native found = find_in(table, name)) return found;
  }
  return nullptr;
}

std::string unknown(std::string_view what, std::string_view name) {
  return "no " + std::string(what) + " named '" + std::string(name) + "' is known here";
}

Parameters::Parameters(std::string_view function, const Arguments& arguments, std::initializer_list<std::string_view> names,
                       std::size_t required)
    : function_(function), required_(required) {
  if (arguments.positional.size() > names.size()) {
    fail(function, ": at most ", std::to_string(names.size()), " arguments expected, ", std::to_string(arguments.positional.size()),
         " given");
  }
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) given_[i] = &arguments.positional[i];
  for (const Named& named : arguments.named) {
    const auto at = static_cast<std::size_t>(std::find(names.begin(), names.end(), named.name) - names.begin());
    if (at == names.size()) fail(function, ": no argument is named '", named.name, "'");
    if (given_[at]) fail(function, ": the argument '", named.name, "' is given twice");
    given_[at] = &named.value;
  }
  for (std::size_t i = 0; i < required; ++i) {
    if (!given_[i]) fail(function, ": the argument '", names.begin()[i], "' is missing");
  }
}

std::int64_t Parameters::whole(std::size_t i, std::int64_t otherwise) const {
  if (!has(i) && i >= required_) return otherwise;
  require_defined(*given_[i]);
  if (!given_[i]->is_whole()) fail(function_, ": expected an integer, found ", type_name(*given_[i]));
  return given_[i]->whole();
}

std::string_view Parameters::text(std::size_t i, std::string_view otherwise) const {
  if (!has(i) && i >= required_) return otherwise;
  require_defined(*given_[i]);
  if (!given_[i]->is(Kind::text)) fail(function_, ": expected a text, found ", type_name(*given_[i]));
  return given_[i]->text();
}

}  // namespace atom::engine::jinja
