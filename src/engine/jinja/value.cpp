#include "value.hpp"

#include <algorithm>
#include <cmath>
#include <compare>

#include "print.hpp"
#include "unicode.hpp"

namespace atom::engine::jinja {

void Namespace::set(Sandbox& sandbox, std::string_view name, const Value& value) {
  Attribute** at = &first;
  for (; *at; at = &(*at)->next) {
    sandbox.spend(1);
    if ((*at)->name == name) {
      (*at)->value = value;
      return;
    }
  }
  *at = sandbox.make<Attribute>(name, value, nullptr);
}

Value keep_list(Sandbox& sandbox, std::span<const Value> items, Form form) {
  Value* kept = sandbox.array<Value>(items.size());
  std::copy(items.begin(), items.end(), kept);
  return make_list({kept, items.size()}, form);
}

std::string_view type_name(const Value& v) {
  switch (v.kind) {
    case Kind::undefined: return "Undefined";
    case Kind::none: return "NoneType";
    case Kind::boolean: return "bool";
    case Kind::integer: return "int";
    case Kind::real: return "float";
    case Kind::text: return v.is_markup() ? "Markup" : "str";
    case Kind::list: break;
    case Kind::dict: return "dict";
    case Kind::generator: return "generator";
    case Kind::name_space: return "Namespace";
    case Kind::function: return "function";
    case Kind::macro: return "Macro";
    case Kind::loop: return "LoopContext";
  }
  switch (v.form) {
    case Form::tuple:
    case Form::group: return "tuple";
    case Form::range: return "range";
    case Form::dict_keys: return "dict_keys";
    case Form::dict_values: return "dict_values";
    case Form::dict_items: return "dict_items";
    default: return "list";
  }
}

std::string explain(const Value& undefined) {
  const std::string name(undefined.text());
  Value owner;
  owner.kind = undefined.owner;
  std::string object(type_name(owner));
  object = undefined.owner == Kind::none ? "None" : object + " object";
  switch (undefined.form) {
    case Form::missing_name: return "'" + name + "' is undefined";
    case Form::missing_attribute: return "'" + object + "' has no attribute '" + name + "'";
    case Form::missing_element: return object + " has no element " + name;
    default: return name;
  }
}

bool is_true(const Value& v) {
  switch (v.kind) {
    case Kind::undefined:
    case Kind::none: return false;
    case Kind::boolean: return v.boolean;
    case Kind::integer: return v.integer != 0;
    case Kind::real: return v.real != 0;
    case Kind::text:
    case Kind::list:
    case Kind::dict: return v.size != 0;
    default: return true;
  }
}

namespace {

/// a <=> b for any mix of integers and reals, exactly.
std::partial_ordering compare_numbers(const Value& a, const Value& b) {
  if (a.is_whole() && b.is_whole()) return a.whole() <=> b.whole();
  if (a.is(Kind::real) && b.is(Kind::real)) return a.real <=> b.real;
  if (a.is(Kind::real)) return 0 <=> compare_numbers(b, a);
  const double x = b.real;
  if (std::isnan(x)) return std::partial_ordering::unordered;
  if (x >= 0x1p63) return std::partial_ordering::less;
  if (x < -0x1p63) return std::partial_ordering::greater;
  const auto whole = static_cast<std::int64_t>(x);
  if (a.whole() != whole) return a.whole() <=> whole;
  return 0.0 <=> x - static_cast<double>(whole);
}

bool is_tuple(const Value& v) { return v.is(Kind::list) && (v.form == Form::tuple || v.form == Form::group); }
bool same_sequence(const Value& a, const Value& b) { return a.form == b.form || (is_tuple(a) && is_tuple(b)); }

}  // namespace

bool equals(Sandbox& sandbox, const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return compare_numbers(a, b) == 0;
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::undefined:
    case Kind::none: return true;
    case Kind::text:
      if (a.size != b.size) return false;
      sandbox.spend_on(a.size);
      return a.text() == b.text();
    case Kind::list: {
      if (a.size != b.size || !same_sequence(a, b)) return false;
      const Sandbox::Level level(sandbox);
      for (std::size_t i = 0; i < a.size; ++i) {
        sandbox.spend(1);
        if (!equals(sandbox, a.items[i], b.items[i])) return false;
      }
      return true;
    }
    case Kind::dict: {
      if (a.size != b.size) return false;
      const Sandbox::Level level(sandbox);
      for (const Entry& e : a.dict()) {
        const Value* other = find(sandbox, b, e.key);
        if (!other || !equals(sandbox, e.value, *other)) return false;
      }
      return true;
    }
    default: return a.generator == b.generator;  // an object equals itself
  }
}

bool less(Sandbox& sandbox, const Value& a, const Value& b, std::string_view sign) {
  if (a.is_number() && b.is_number()) return compare_numbers(a, b) < 0;
  require_defined(a);
  require_defined(b);
  if (a.is(Kind::text) && b.is(Kind::text)) {
    sandbox.spend_on(std::min(a.size, b.size));
    return a.text() < b.text();  // bytes of UTF-8 order as code points do
  }
  if (a.is(Kind::list) && b.is(Kind::list) && same_sequence(a, b) && (is_tuple(a) || a.form == Form::plain)) {
    const Sandbox::Level level(sandbox);
    for (std::size_t i = 0; i < a.size && i < b.size; ++i) {
      sandbox.spend(1);
      if (!equals(sandbox, a.items[i], b.items[i])) return less(sandbox, a.items[i], b.items[i], sign);
    }
    return a.size < b.size;
  }
  fail("'", sign, "' not supported between instances of '", type_name(a), "' and '", type_name(b), "'");
}

void require_hashable(const Value& v) {
  if (v.is(Kind::dict) || (v.is(Kind::list) && v.form != Form::tuple && v.form != Form::group && v.form != Form::range)) {
    fail("unhashable type: '", type_name(v), "'");
  }
}

const Value* find(Sandbox& sandbox, const Value& dict, const Value& key) {
  sandbox.spend(1 + dict.size / 4);
  for (const Entry& e : dict.dict()) {
    if (e.key.is(Kind::text) && key.is(Kind::text)) {
      if (e.key.text() == key.text()) return &e.value;
    } else if (equals(sandbox, e.key, key)) {
      return &e.value;
    }
  }
  return nullptr;
}

void DictBuilder::set(const Value& key, const Value& value) {
  require_hashable(key);
  sandbox_.spend(1 + entries_.size() / 4);
  for (Entry& e : entries_) {
    if (equals(sandbox_, e.key, key)) {
      e.value = value;
      return;
    }
  }
  sandbox_.check(entries_.size() * sizeof(Entry));
  entries_.push_back({key, value});
}

Value DictBuilder::done() const {
  Entry* kept = sandbox_.array<Entry>(entries_.size());
  std::copy(entries_.begin(), entries_.end(), kept);
  return make_dict({kept, entries_.size()});
}

Items walk(Sandbox& sandbox, const Value& v) {
  switch (v.kind) {
    case Kind::undefined: return {};
    case Kind::list: return {v.list()};
    case Kind::text: {
      sandbox.spend_on_characters(v.size);
      Value* items = sandbox.array<Value>(code_points(v.text()));
      Value* end = items;
      for (std::string_view rest = v.text(); !rest.empty();) {
        const std::size_t bytes = first_character(rest);
        *end++ = make_like(v, rest.substr(0, bytes));
        rest.remove_prefix(bytes);
      }
      return {{items, end}};
    }
    case Kind::dict: {
      Value* keys = sandbox.array<Value>(v.size);
      for (std::size_t i = 0; i < v.size; ++i) keys[i] = v.entries[i].key;
      return {{keys, v.size}};
    }
    case Kind::generator: {
      Generator& g = *v.generator;
      const std::span<const Value> rest = std::span(g.items, g.size).subspan(g.next);
      g.next = g.size;
      return {rest, std::exchange(g.failure, nullptr)};
    }
    default: fail("'", type_name(v), "' object is not iterable");
  }
}

std::span<const Value> all_items(Sandbox& sandbox, const Value& v) {
  const auto [items, failure] = walk(sandbox, v);
  if (failure) fail(failure);
  sandbox.spend(1 + items.size() / 8);
  return items;
}

}  // namespace atom::engine::jinja
