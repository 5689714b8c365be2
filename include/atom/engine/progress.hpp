#pragma once
// Progress: long work tells its caller how far it is and what looks wrong; the caller decides whether a person is watching.
#include <cstddef>
#include <string_view>

namespace atom::engine {

/// Called now and then, from one thread, with 0 <= done <= total; done == total exactly once, at the end.
class Progress {
 public:
  virtual ~Progress() = default;
  virtual void update(std::string_view what, std::size_t done, std::size_t total) = 0;
  /// Something that is accepted but should be known: "<file>: <tensor>: <what>".
  virtual void warn(std::string_view) {}
};

}  // namespace atom::engine
