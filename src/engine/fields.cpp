#include "fields.hpp"

#include <algorithm>

namespace atom::engine {
namespace {

std::string shown(double value) {
  std::string out;
  append_json_number(out, value);
  return out;
}

}  // namespace

Fields::Fields(const Json& object, Problems& problems, std::string prefix)
    : object_(object), problems_(problems), prefix_(std::move(prefix)) {
  static_cast<void>(object_.as_object({}));
}

void Fields::problem(std::string_view key, std::string_view sentence) {
  problems_.add(prefix_ + std::string(key) + ": " + std::string(sentence));
}

template <class T, class Read> T Fields::value(std::string_view key, T otherwise, Read read) {
  const Json* member = find(key);
  if (!member) return otherwise;
  try {
    return read(*member, prefix_ + std::string(key));
  } catch (const Error& e) {
    problems_.add(e);
    return otherwise;
  }
}

const Json* Fields::object(std::string_view key) {
  return value<const Json*>(key, nullptr, [](const Json& j, const std::string& what) {
    static_cast<void>(j.as_object(what));
    return &j;
  });
}

int Fields::integer(std::string_view key, Range<int> range, int otherwise) {
  return value(key, otherwise, [&](const Json& j, const std::string& what) {
    const std::int64_t n = j.as_int(what);
    if (n >= range.low && n <= range.high) return static_cast<int>(n);
    problem(key, "expected " + std::to_string(range.low) + " to " + std::to_string(range.high) + ", found " + std::to_string(n));
    return otherwise;
  });
}

double Fields::number(std::string_view key, Range<double> range, double otherwise) {
  return value(key, otherwise, [&](const Json& j, const std::string& what) {
    const double x = j.as_number(what);
    if (x >= range.low && x <= range.high) return x;
    problem(key, "expected " + shown(range.low) + " to " + shown(range.high) + ", found " + shown(x));
    return otherwise;
  });
}

int Fields::integer(std::string_view key, Range<int> range) {
  if (!object_.find(key)) problem(key, "missing");
  return integer(key, range, 0);
}

double Fields::number(std::string_view key, Range<double> range) {
  if (!object_.find(key)) problem(key, "missing");
  return number(key, range, 0);
}

bool Fields::flag(std::string_view key, bool otherwise) {
  return value(key, otherwise, [](const Json& j, const std::string& what) { return j.as_bool(what); });
}

std::string Fields::text(std::string_view key, std::string_view otherwise) {
  return value(key, std::string(otherwise), [](const Json& j, const std::string& what) { return j.as_string(what); });
}

std::vector<std::string> Fields::texts(std::string_view key) {
  return value(key, std::vector<std::string>(), [](const Json& j, const std::string& what) {
    std::vector<std::string> list;
    for (const Json& item : j.as_array(what)) list.push_back(item.as_string(what));
    return list;
  });
}

std::vector<int> Fields::token_ids(std::string_view key) {
  return value(key, std::vector<int>(), [&](const Json& j, const std::string& what) {
    std::vector<int> ids;
    for (const Json& item : j.is_array() ? j.as_array(what) : std::span(&j, 1)) {
      const std::int64_t id = item.as_int(what);
      if (id >= non_negative.low && id <= non_negative.high) {
        ids.push_back(static_cast<int>(id));
      } else {
        problem(key, std::to_string(id) + " is no token id");
      }
    }
    return ids;
  });
}

std::vector<std::string> Fields::unread() const {
  std::vector<std::string> keys;
  for (const auto& [key, member] : object_.as_object({})) {
    if (!member.is_null() && std::find(read_.begin(), read_.end(), key) == read_.end()) keys.push_back(key);
  }
  return keys;
}

}  // namespace atom::engine
