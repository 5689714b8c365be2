// Methods of lists and dicts that leave them as they are, and how methods are found.
#include <algorithm>
#include <array>

#include "natives.hpp"

namespace atom::engine::jinja {
namespace {

Value pairs(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters none("items", arguments, {});
  Value* items = sandbox.array<Value>(self.size);
  for (std::size_t i = 0; i < self.size; ++i) {
    const Entry& e = self.entries[i];
    const Value pair[] = {e.key, e.value};
    items[i] = keep_list(sandbox, pair, Form::tuple);
  }
  return make_list({items, self.size}, Form::dict_items);
}

Value keys(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters none("keys", arguments, {});
  return make_list(walk(sandbox, self).items, Form::dict_keys);
}

Value values(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters none("values", arguments, {});
  Value* items = sandbox.array<Value>(self.size);
  for (std::size_t i = 0; i < self.size; ++i) items[i] = self.entries[i].value;
  return make_list({items, self.size}, Form::dict_values);
}

Value get(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("get", arguments, {"key", "default"}, 1);
  require_hashable(*p[0]);
  const Value* found = find(sandbox, self, *p[0]);
  return found ? *found : p.get(1, Value());
}

Value copy(Sandbox&, const Value& self, const Arguments& arguments) {
  const Parameters none("copy", arguments, {});
  return self;
}

Value count(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("count", arguments, {"value"}, 1);
  sandbox.spend(self.size);
  const auto all = self.list();
  return make_int(std::count_if(all.begin(), all.end(), [&](const Value& v) { return equals(sandbox, v, *p[0]); }));
}

Value index(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("index", arguments, {"value"}, 1);
  sandbox.spend(self.size);
  for (std::size_t i = 0; i < self.size; ++i) {
    if (equals(sandbox, self.items[i], *p[0])) return make_int(static_cast<std::int64_t>(i));
  }
  fail("the value is not in the list");
}

constexpr std::array<NativeEntry, 5> of_dicts = {
    {{"items", pairs}, {"keys", keys}, {"values", values}, {"get", get}, {"copy", copy}}};
constexpr std::array<NativeEntry, 3> of_lists = {{{"count", count}, {"index", index}, {"copy", copy}}};

}  // namespace

Native find_method(const Value& object, std::string_view name) {
  std::span<const NativeEntry> table;
  if (object.is(Kind::text)) table = text_methods();
  if (object.is(Kind::dict)) table = of_dicts;
  if (object.is(Kind::list)) {
    if (object.form == Form::plain) table = of_lists;
    if (object.form == Form::tuple || object.form == Form::group || object.form == Form::range)
      table = std::span(of_lists).first(2);
  }
  const auto found = std::find_if(table.begin(), table.end(), [&](const NativeEntry& e) { return e.name == name; });
  return found == table.end() ? nullptr : found->function;
}

}  // namespace atom::engine::jinja
