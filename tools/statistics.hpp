#pragma once
// What commands that report numbers share: means and percentiles, and JSON.
// One idea: a percentile is a value that was measured, never one between two.
// To extend: a member of JsonObject for another kind of value.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <string>
#include <type_traits>
#include <vector>

#include "atom/engine/json.hpp"

namespace atom::tools {

inline double mean(const std::vector<double>& v) {
  return v.empty() ? 0 : std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
}
/// The smallest value that at least this percentage of them do not exceed.
inline double percentile(std::vector<double> v, double percent) {
  if (v.empty()) return 0;
  std::ranges::sort(v);
  const double rank = std::ceil(percent / 100 * static_cast<double>(v.size()));
  return v[static_cast<std::size_t>(std::clamp(rank, 1.0, static_cast<double>(v.size()))) - 1];
}
/// The middle; of an even number the mean of the two middle ones.
inline double median(std::vector<double> v) {
  if (v.empty()) return 0;
  std::ranges::sort(v);
  return (v[(v.size() - 1) / 2] + v[v.size() / 2]) / 2;
}

/// The last part of a model directory's path.
inline std::string model_name(std::string directory) {
  while (directory.size() > 1 && directory.back() == '/') directory.pop_back();
  return directory.substr(directory.rfind('/') + 1);
}

/// {"key": value, ...}, built member by member.
class JsonObject {
 public:
  JsonObject& text(const char* name, const std::string& value) {
    key(name);
    engine::append_json_string(out_, value);
    return *this;
  }
  template <class T> JsonObject& number(const char* name, T value) {
    key(name);
    if constexpr (std::is_integral_v<T>)
      out_ += std::to_string(value);
    else
      engine::append_json_number(out_, value);
    return *this;
  }
  JsonObject& numbers(const char* name, const std::vector<double>& values) {
    key(name);
    out_ += '[';
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i) out_ += ", ";
      engine::append_json_number(out_, values[i]);
    }
    out_ += ']';
    return *this;
  }
  /// A value that is JSON already.
  JsonObject& raw(const char* name, const std::string& json) {
    key(name);
    out_ += json;
    return *this;
  }
  [[nodiscard]] std::string done() const { return out_ + "}"; }

 private:
  void key(const char* name) {
    if (out_.size() > 1) out_ += ", ";
    engine::append_json_string(out_, name);
    out_ += ": ";
  }
  std::string out_ = "{";
};

/// One array on stdout, an element a line.
template <class T, class Row> void print_json_array(const std::vector<T>& all, Row&& row) {
  std::puts("[");
  for (std::size_t i = 0; i < all.size(); ++i) std::printf("  %s%s\n", row(all[i]).c_str(), i + 1 < all.size() ? "," : "");
  std::puts("]");
}

}  // namespace atom::tools
