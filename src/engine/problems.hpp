#pragma once
// Problems: what is wrong with a file, all of it, in one Error.
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "atom/core/error.hpp"

namespace atom::engine {

class Problems {
 public:
  /// `where`: the file, which opens the message.
  explicit Problems(std::string where) : where_(std::move(where)) {}
  void add(std::string problem) { list_.push_back(std::move(problem)); }
  /// Keeps what an Error about the same file says.
  void add(const Error& error) {
    const std::string_view message = error.what();
    list_.emplace_back(message.starts_with(where_ + ": ") ? message.substr(where_.size() + 2) : message);
  }
  [[nodiscard]] bool any() const { return !list_.empty(); }

  /// Throws an Error that lists them, if there are any. A broken index can hold 100,000: the message shows the first ones.
  void throw_if_any() const {
    constexpr std::size_t shown = 20;
    if (list_.empty()) return;
    if (list_.size() == 1) throw Error(where_ + ": " + list_[0]);
    std::string message = where_ + ": " + std::to_string(list_.size()) + " problems";
    for (std::size_t i = 0; i < list_.size() && i < shown; ++i) message += "\n  " + list_[i];
    if (list_.size() > shown) message += "\n  and " + std::to_string(list_.size() - shown) + " more";
    throw Error(message);
  }

 private:
  std::string where_;
  std::vector<std::string> list_;
};

}  // namespace atom::engine
