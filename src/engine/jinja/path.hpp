#pragma once
// Path: the `attribute` parameter of filters, "function.name" or an index: what to look at in place of each item.
#include <vector>

#include "operators.hpp"
#include "unicode.hpp"

namespace atom::engine::jinja {

class Path {
 public:
  /// `attribute`: a text, an integer, or none for the item itself. `otherwise`, if any, stands for what is undefined.
  Path(Sandbox& sandbox, const Value& attribute, const Value* otherwise = nullptr) : sandbox_(&sandbox), otherwise_(otherwise) {
    if (attribute.is(Kind::none)) return;
    if (!attribute.is(Kind::text)) {
      parts_.push_back(attribute);
      return;
    }
    const std::string_view dot = ".";
    for (const std::string_view part : split(attribute.text(), &dot, -1, false)) {
      std::int64_t index = 0;
      const bool digits = !part.empty() && part.size() < 18 && part.find_first_not_of("0123456789") == part.npos;
      for (const char c : digits ? part : std::string_view()) index = 10 * index + (c - '0');
      parts_.push_back(digits ? make_int(index) : make_text(part));
    }
  }

  [[nodiscard]] Value of(Value v) const {
    for (const Value& part : parts_) {
      sandbox_->spend(1);
      v = item(*sandbox_, v, part);
      if (otherwise_ && v.is(Kind::undefined)) v = *otherwise_;
    }
    return v;
  }

 private:
  Sandbox* sandbox_;
  const Value* otherwise_;
  std::vector<Value> parts_;
};

/// A text in lower case, for comparisons that ignore case; any other value as it is.
inline Value folded(Sandbox& sandbox, const Value& v) {
  if (!v.is(Kind::text)) return v;
  sandbox.spend_on_characters(2 * v.size);
  return make_text(sandbox.keep(lower(v.text())));
}

}  // namespace atom::engine::jinja
