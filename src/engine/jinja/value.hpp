#pragma once
// Value: what an expression yields. The kinds are Python's, as far as templates meet them.
// One idea: a trivially copyable view into the sandbox, the program or the caller's JSON; values never change, except for the
// attributes of a namespace and the position of a generator.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox.hpp"

namespace atom::engine::jinja {

enum class Kind : unsigned char {
  undefined,
  none,
  boolean,
  integer,
  real,
  text,
  list,
  dict,
  generator,
  name_space,
  function,
  macro,
  loop
};

/// What distinguishes values of one kind.
enum class Form : unsigned char {
  plain,   // a text, a list
  markup,  // a text marked safe: what is added to it gets escaped
  tuple,
  group,
  range,
  dict_keys,
  dict_values,
  dict_items,  // lists; group: a tuple of groupby
  missing_name,
  missing_attribute,
  missing_element,
  explanation  // undefined: what the text is about
};

struct Value;
struct Entry;
struct Generator;
struct Namespace;
struct Function;
struct Macro;
struct Loop;

struct Value {
  union {
    std::int64_t integer = 0;
    bool boolean;
    double real;
    const char* chars;
    const Value* items;
    const Entry* entries;
    Generator* generator;
    Namespace* name_space;
    const Function* function;
    const Macro* macro;
    Loop* loop;
  };
  std::size_t size = 0;  // of a text (bytes), list or dict
  Kind kind = Kind::none;
  Form form = Form::plain;
  Kind owner = Kind::none;  // of an undefined attribute or element: where it was looked for

  [[nodiscard]] bool is(Kind k) const { return kind == k; }
  [[nodiscard]] bool is_markup() const { return kind == Kind::text && form == Form::markup; }
  [[nodiscard]] bool is_number() const { return kind == Kind::integer || kind == Kind::real || kind == Kind::boolean; }
  [[nodiscard]] bool is_whole() const { return kind == Kind::integer || kind == Kind::boolean; }  // Python's bool is an int
  [[nodiscard]] std::int64_t whole() const { return kind == Kind::boolean ? boolean : integer; }
  [[nodiscard]] double number() const { return kind == Kind::real ? real : static_cast<double>(whole()); }
  [[nodiscard]] std::string_view text() const { return {chars, size}; }
  [[nodiscard]] std::span<const Value> list() const { return {items, size}; }
  [[nodiscard]] std::span<const Entry> dict() const;
};

struct Entry {
  Value key, value;
};
inline std::span<const Entry> Value::dict() const { return {entries, size}; }

/// A list that can be walked once. It was computed at once; if that failed, the failure shows where the walk gets there.
struct Generator {
  const Value* items = nullptr;
  std::size_t size = 0, next = 0;
  const char* failure = nullptr;
};

struct Namespace {
  struct Attribute {
    std::string_view name;
    Value value;
    Attribute* next;
  };
  Attribute* first = nullptr;

  [[nodiscard]] const Value* find(std::string_view name) const {
    for (const Attribute* a = first; a; a = a->next) {
      if (a->name == name) return &a->value;
    }
    return nullptr;
  }
  void set(Sandbox& sandbox, std::string_view name, const Value& value);
};

struct Named {
  std::string_view name;
  Value value;
};
struct Arguments {
  std::span<const Value> positional;
  std::span<const Named> named;
};

/// A filter (self: the value before the bar), a test (the value before `is`), a method (the object) or a global function.
using Native = Value (*)(Sandbox&, const Value& self, const Arguments&);
struct NativeEntry {
  std::string_view name;
  Native function;
};
struct Function {
  Native function;
  Value self;
};

inline Value make_bool(bool b) {
  Value v;
  v.boolean = b;
  v.kind = Kind::boolean;
  return v;
}
inline Value make_int(std::int64_t i) {
  Value v;
  v.integer = i;
  v.kind = Kind::integer;
  return v;
}
inline Value make_real(double d) {
  Value v;
  v.real = d;
  v.kind = Kind::real;
  return v;
}
/// A view: `text` must outlive the value (see Sandbox::keep).
inline Value make_text(std::string_view text, Form form = Form::plain) {
  Value v;
  v.chars = text.data();
  v.size = text.size();
  v.kind = Kind::text;
  v.form = form;
  return v;
}
inline Value make_list(std::span<const Value> items, Form form = Form::plain) {
  Value v;
  v.items = items.data();
  v.size = items.size();
  v.kind = Kind::list;
  v.form = form;
  return v;
}
inline Value make_dict(std::span<const Entry> entries) {
  Value v;
  v.entries = entries.data();
  v.size = entries.size();
  v.kind = Kind::dict;
  return v;
}
inline Value make_undefined(Form about, std::string_view name, Kind owner = Kind::none) {
  Value v = make_text(name, about);
  v.kind = Kind::undefined;
  v.owner = owner;
  return v;
}
inline Value make_function(Sandbox& sandbox, Native function, const Value& self = {}) {
  Value v;
  v.function = sandbox.make<Function>(function, self);
  v.kind = Kind::function;
  return v;
}
inline Value make_generator(Sandbox& sandbox, std::span<const Value> items, const char* failure = nullptr) {
  Value v;
  v.generator = sandbox.make<Generator>(items.data(), items.size(), std::size_t{0}, failure);
  v.kind = Kind::generator;
  return v;
}
inline Value make_namespace(Sandbox& sandbox) {
  Value v;
  v.name_space = sandbox.make<Namespace>();
  v.kind = Kind::name_space;
  return v;
}
/// The same text with what `like` is marked as.
inline Value make_like(const Value& like, std::string_view text) {
  return make_text(text, like.is_markup() ? Form::markup : Form::plain);
}
/// A list of what `items` holds.
Value keep_list(Sandbox& sandbox, std::span<const Value> items, Form form = Form::plain);

/// Python's name of the type: "str", "NoneType".
std::string_view type_name(const Value& v);
/// Why an undefined value is undefined: "'dict object' has no attribute 'name'".
std::string explain(const Value& undefined);
/// Throws the Failure that any use of an undefined value is.
inline void require_defined(const Value& v) {
  if (v.is(Kind::undefined)) fail(explain(v));
}

bool is_true(const Value& v);
/// ==, as Python has it: 1 == 1.0 == true, a list is no tuple.
bool equals(Sandbox& sandbox, const Value& a, const Value& b);
/// < (or what `sign` says in the message); a Failure for what has no order.
bool less(Sandbox& sandbox, const Value& a, const Value& b, std::string_view sign = "<");

/// A Failure for what cannot be a key: lists and dicts.
void require_hashable(const Value& v);
/// The value of a key, or nullptr.
const Value* find(Sandbox& sandbox, const Value& dict, const Value& key);
/// Collects the entries of a dict: a repeated key keeps its place and takes the new value.
class DictBuilder {
 public:
  explicit DictBuilder(Sandbox& sandbox) : sandbox_(sandbox) {}
  void set(const Value& key, const Value& value);
  [[nodiscard]] Value done() const;

 private:
  Sandbox& sandbox_;
  std::vector<Entry> entries_;
};

/// What a for loop would see: the items, and the failure that comes after them.
struct Items {
  std::span<const Value> items;
  const char* failure = nullptr;
};
Items walk(Sandbox& sandbox, const Value& v);
/// The items of what is walked to its end.
std::span<const Value> all_items(Sandbox& sandbox, const Value& v);

}  // namespace atom::engine::jinja
