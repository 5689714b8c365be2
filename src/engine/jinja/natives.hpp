#pragma once
// Natives: the filters, tests, methods and global functions. One function each, found by name in a table.
#include <initializer_list>
#include <string>
#include <string_view>

#include "value.hpp"

namespace atom::engine::jinja {

Native find_filter(std::string_view name);
Native find_test(std::string_view name);
Native find_global(std::string_view name);
/// A method of a text, list or dict.
Native find_method(const Value& object, std::string_view name);
/// "no filter is named 'x'".
std::string unknown(std::string_view what, std::string_view name);

// The tables, by file.
std::span<const NativeEntry> text_filters();
std::span<const NativeEntry> number_filters();
std::span<const NativeEntry> sequence_filters();
std::span<const NativeEntry> selecting_filters();
std::span<const NativeEntry> text_methods();

/// What a native was called with, by the names of its parameters. Throws a Failure for arguments it does not take.
class Parameters {
 public:
  Parameters(std::string_view function, const Arguments& arguments, std::initializer_list<std::string_view> names,
             std::size_t required = 0);

  /// The argument, or nullptr where it was not given.
  [[nodiscard]] const Value* operator[](std::size_t i) const { return given_[i]; }
  [[nodiscard]] Value get(std::size_t i, const Value& otherwise) const { return given_[i] ? *given_[i] : otherwise; }
  [[nodiscard]] bool flag(std::size_t i, bool otherwise) const { return given_[i] ? is_true(*given_[i]) : otherwise; }
  /// An integer; where it was not given or is none, and not required, `otherwise`.
  [[nodiscard]] std::int64_t whole(std::size_t i, std::int64_t otherwise) const;
  /// A text (see whole).
  [[nodiscard]] std::string_view text(std::size_t i, std::string_view otherwise = {}) const;
  /// Given, and not none.
  [[nodiscard]] bool has(std::size_t i) const { return given_[i] && !given_[i]->is(Kind::none); }

 private:
  static constexpr std::size_t most = 6;
  std::string_view function_;
  std::size_t required_;
  const Value* given_[most] = {};
};

/// A text made by a native, kept in the sandbox.
inline Value keep_text(Sandbox& sandbox, std::string_view text, Form form = Form::plain) {
  return make_text(sandbox.keep(text), form);
}

}  // namespace atom::engine::jinja
