#pragma once
// Json: a parsed JSON text, read through limits. Every JSON byte from outside (config, index, header, tokenizer, request)
// enters the program here.
// One idea: size, depth, duplicate keys and UTF-8 are checked once, in parse(); readers then ask for a field and get a value
// or an Error that names the file, the field and what was expected.
// To extend: nothing to extend; parse with other Limits where a larger document is legitimate.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace atom::engine {

struct JsonLimits {
  std::size_t bytes = std::size_t{64} << 20;  ///< longest accepted text
  std::size_t values = std::size_t{4} << 20;  ///< most values in it, keys not counted: a value costs some 60 bytes, "[]," 3
  int depth = 64;                             ///< deepest accepted nesting
};

class Json {
 public:
  enum class Kind : unsigned char { null, boolean, integer, real, string, array, object };
  using Member = std::pair<std::string, Json>;

  Json() = default;  ///< null

  /// Parses a whole text. `where` (a file name, usually) opens every message, later ones included.
  /// Throws atom::Error on: over the limits, not JSON, not UTF-8, a duplicate key, trailing bytes, a number beyond double.
  /// An integer outside int64 (files do hold 10^30) becomes a real, which as_int refuses.
  static Json parse(std::string_view text, std::string_view where, JsonLimits limits = {});
  /// Reads and parses a file, whose path becomes `where`; the size is checked before anything is allocated.
  static Json parse_file(const std::string& path, JsonLimits limits = {});

  [[nodiscard]] Kind kind() const { return static_cast<Kind>(value_.index()); }
  [[nodiscard]] bool is_null() const { return kind() == Kind::null; }
  [[nodiscard]] bool is_object() const { return kind() == Kind::object; }
  [[nodiscard]] bool is_array() const { return kind() == Kind::array; }
  [[nodiscard]] bool is_string() const { return kind() == Kind::string; }
  [[nodiscard]] bool is_number() const { return kind() == Kind::integer || kind() == Kind::real; }

  /// Typed reads. `what` names the value in the message ("config.json: hidden_size: expected an integer, found a string").
  [[nodiscard]] bool as_bool(std::string_view what) const;
  [[nodiscard]] std::int64_t as_int(std::string_view what) const;  ///< accepts 3 and 3.0, refuses 3.5
  [[nodiscard]] double as_number(std::string_view what) const;
  [[nodiscard]] const std::string& as_string(std::string_view what) const;
  [[nodiscard]] std::span<const Json> as_array(std::string_view what) const;
  [[nodiscard]] std::span<const Member> as_object(std::string_view what) const;  ///< in the order of the text

  /// The member, or nullptr when absent, null, or when this is no object: null equals absent in every file we read.
  /// Walks the members: iterate as_object() instead of finding thousands of keys one by one.
  [[nodiscard]] const Json* find(std::string_view key) const;
  /// The member, or an Error naming it.
  [[nodiscard]] const Json& at(std::string_view key) const;
  /// Member with a default for absent or null.
  [[nodiscard]] bool get(std::string_view key, bool otherwise) const;
  [[nodiscard]] std::int64_t get(std::string_view key, std::int64_t otherwise) const;
  [[nodiscard]] std::int64_t get(std::string_view key, int otherwise) const { return get(key, std::int64_t{otherwise}); }
  [[nodiscard]] double get(std::string_view key, double otherwise) const;
  [[nodiscard]] std::string get(std::string_view key, std::string_view otherwise) const;
  [[nodiscard]] std::string get(std::string_view key, const char* otherwise) const { return get(key, std::string_view(otherwise)); }

  /// The file this came from, for messages of readers that check more than the type.
  [[nodiscard]] std::string_view where() const;

 private:
  friend struct JsonBuilder;
  std::variant<std::monostate, bool, std::int64_t, double, std::string, std::vector<Json>, std::vector<Member>> value_;  // as Kind
  std::shared_ptr<const std::string> where_;  // one string per parse, shared by its nodes
};

/// Appends `text` as a JSON string literal (quoted, escaped; invalid UTF-8 becomes U+FFFD).
void append_json_string(std::string& out, std::string_view text);
/// Appends a finite number so that it reads back equal; NaN and infinities become null.
void append_json_number(std::string& out, double value);

/// `text` as messages show it: a JSON string literal, cut after 80 bytes.
std::string in_quotes(std::string_view text);

}  // namespace atom::engine
