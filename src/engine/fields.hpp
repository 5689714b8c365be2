#pragma once
// Fields: reads an object of a configuration file field by field. A field that is wrong becomes a problem and reads as its
// default (0 where there is none), so that one pass finds everything that is wrong. Remembers what was read: the rest is
// unknown.
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "atom/engine/json.hpp"

#include "problems.hpp"

namespace atom::engine {

template <class T> struct Range {
  T low, high;  // both allowed
};
inline constexpr Range<int> non_negative{0, std::numeric_limits<int>::max()};

class Fields {
 public:
  /// `prefix` precedes keys in messages: "rope_scaling: ". The other two must outlive this. Throws if this is no object.
  Fields(const Json& object, Problems& problems, std::string prefix = {});

  /// The member, or nullptr when absent or null.
  const Json* find(std::string_view key) {
    read_.push_back(key);
    return object_.find(key);
  }
  void ignore(std::span<const std::string_view> keys) { read_.insert(read_.end(), keys.begin(), keys.end()); }

  const Json* object(std::string_view key);  ///< nullptr when absent; any other kind is a problem
  int integer(std::string_view key, Range<int> range, int otherwise);
  int integer(std::string_view key, Range<int> range);  ///< must be there
  double number(std::string_view key, Range<double> range, double otherwise);
  double number(std::string_view key, Range<double> range);  ///< must be there
  bool flag(std::string_view key, bool otherwise);
  std::string text(std::string_view key, std::string_view otherwise);
  std::vector<std::string> texts(std::string_view key);  ///< an array of strings; absent reads as empty
  /// One token id or a list of them; null and absent read as none.
  std::vector<int> token_ids(std::string_view key);

  void problem(std::string_view key, std::string_view sentence);
  Problems& problems() { return problems_; }

  /// Keys that were neither read nor ignored, in the order of the file. Null ones do not count: null equals absent.
  [[nodiscard]] std::vector<std::string> unread() const;

 private:
  template <class T, class Read> T value(std::string_view key, T otherwise, Read read);

  const Json& object_;
  Problems& problems_;
  std::string prefix_;
  std::vector<std::string_view> read_;
};

}  // namespace atom::engine
