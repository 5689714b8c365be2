// Filters on sequences and dicts, except those that select items or call other filters (filters_select.cpp).
#include <algorithm>
#include <array>

#include "natives.hpp"
#include "operators.hpp"
#include "path.hpp"
#include "print.hpp"
#include "unicode.hpp"

namespace atom::engine::jinja {
namespace {

Value length(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters none("length", arguments, {});
  switch (self.kind) {
    case Kind::undefined: return make_int(0);
    case Kind::list:
    case Kind::dict: return make_int(static_cast<std::int64_t>(self.size));
    case Kind::text: sandbox.spend_on(self.size); return make_int(static_cast<std::int64_t>(code_points(self.text())));
    case Kind::loop: return loop_attribute(sandbox, *self.loop, "length");
    default: fail("object of type '", type_name(self), "' has no length");
  }
}

Value first(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters none("first", arguments, {});
  if (self.is(Kind::text) && self.size > 0) return make_like(self, self.text().substr(0, first_character(self.text())));
  if (self.is(Kind::generator) && self.generator->next < self.generator->size) return self.generator->items[self.generator->next++];
  const auto items = all_items(sandbox, self);
  return items.empty() ? make_undefined(Form::explanation, "No first item, sequence was empty.") : items[0];
}

Value last(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters none("last", arguments, {});
  if (self.is(Kind::generator)) fail("'generator' object is not reversible");
  const auto items = all_items(sandbox, self);
  return items.empty() ? make_undefined(Form::explanation, "No last item, sequence was empty.") : items.back();
}

Value list(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters none("list", arguments, {});
  return make_list(all_items(sandbox, self));
}

Value reverse(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters none("reverse", arguments, {});
  const Value none_given = {}, back = make_int(-1);
  if (self.is(Kind::text)) return slice(sandbox, self, none_given, none_given, back);
  const Value reversed = slice(sandbox, make_list(all_items(sandbox, self)), none_given, none_given, back);
  return self.is(Kind::generator) ? reversed : make_generator(sandbox, reversed.list());
}

Value join(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("join", arguments, {"d", "attribute"});
  const std::string_view separator = p[0] ? to_text(sandbox, *p[0]) : std::string_view();
  const Path path(sandbox, p.get(1, Value()));
  std::string out;
  bool begun = false;
  for (const Value& v : all_items(sandbox, self)) {
    if (std::exchange(begun, true)) out += separator;
    append_str(sandbox, out, path.of(v));
    sandbox.spend(1);
    sandbox.check(out.size());
  }
  return keep_text(sandbox, out);
}

Value items(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters none("items", arguments, {});
  if (self.is(Kind::undefined)) return make_generator(sandbox, {});
  if (!self.is(Kind::dict)) return make_generator(sandbox, {}, "Can only get item pairs from a mapping.");
  return make_generator(sandbox, find_method(self, "items")(sandbox, self, {}).list());
}

/// Sorts by keys, which are computed once; equal ones keep their order.
Value sorted(Sandbox& sandbox, std::span<const Value> items, const std::vector<Value>& keys, bool backwards) {
  std::vector<std::size_t> order(items.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    sandbox.spend(1);
    return backwards ? less(sandbox, keys[b], keys[a]) : less(sandbox, keys[a], keys[b]);
  });
  Value* out = sandbox.array<Value>(items.size());
  for (std::size_t i = 0; i < order.size(); ++i) out[i] = items[order[i]];
  return make_list({out, items.size()});
}

Value sort(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  const bool folds = !p.flag(1, false);
  std::vector<Path> paths;
  if (p.has(2) && p[2]->is(Kind::text)) {
    const std::string_view comma = ",";
    for (const std::string_view one : split(p[2]->text(), &comma, -1, false)) paths.emplace_back(sandbox, make_text(one));
  } else {
    paths.emplace_back(sandbox, p.get(2, Value()));
  }
  const auto all = all_items(sandbox, self);
  sandbox.check(all.size() * sizeof(Value));
  std::vector<Value> keys;
  for (const Value& v : all) {
    Value* key = sandbox.array<Value>(paths.size());
    for (std::size_t i = 0; i < paths.size(); ++i) key[i] = folds ? folded(sandbox, paths[i].of(v)) : paths[i].of(v);
    keys.push_back(make_list({key, paths.size()}));
  }
  return sorted(sandbox, all, keys, p.flag(0, false));
}

Value dict_sort(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  require_defined(self);
  if (!self.is(Kind::dict)) fail("dictsort: expected a dict, found ", type_name(self));
  const std::string_view by = p[1] ? p.text(1) : "key";
  if (by != "key" && by != "value") fail("dictsort: by must be \"key\" or \"value\"");
  const Value pairs = find_method(self, "items")(sandbox, self, {});
  std::vector<Value> keys;
  for (const Value& pair : pairs.list()) {
    const Value& key = pair.items[by == "value"];
    keys.push_back(p.flag(0, false) ? key : folded(sandbox, key));
  }
  return sorted(sandbox, pairs.list(), keys, p.flag(2, false));
}

Value unique(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("unique", arguments, {"case_sensitive", "attribute"});
  const Path path(sandbox, p.get(1, Value()));
  std::vector<Value> kept, seen;
  for (const Value& v : all_items(sandbox, self)) {
    const Value key = p.flag(0, false) ? path.of(v) : folded(sandbox, path.of(v));
    require_hashable(key);
    sandbox.spend(1 + seen.size() / 2);
    if (std::any_of(seen.begin(), seen.end(), [&](const Value& s) { return equals(sandbox, s, key); })) continue;
    sandbox.check(seen.size() * 2 * sizeof(Value));
    seen.push_back(key);
    kept.push_back(v);
  }
  return make_generator(sandbox, keep_list(sandbox, kept).list());
}

template <bool largest> Value extreme(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p(largest ? "max" : "min", arguments, {"case_sensitive", "attribute"});
  const Path path(sandbox, p.get(1, Value()));
  const auto key_of = [&](const Value& v) { return p.flag(0, false) ? path.of(v) : folded(sandbox, path.of(v)); };
  const auto all = all_items(sandbox, self);
  if (all.empty()) return make_undefined(Form::explanation, "No aggregated item, sequence was empty.");
  const Value* best = &all[0];
  Value best_key = key_of(*best);
  for (const Value& v : all.subspan(1)) {
    sandbox.spend(1);
    const Value key = key_of(v);
    if (largest ? less(sandbox, best_key, key, ">") : less(sandbox, key, best_key)) {
      best = &v;
      best_key = key;
    }
  }
  return *best;
}

Value sum(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("sum", arguments, {"attribute", "start"});
  const Path path(sandbox, p.get(0, Value()));
  Value total = p.get(1, make_int(0));
  if (total.is(Kind::text)) fail("sum: texts cannot be summed; use join");
  for (const Value& v : all_items(sandbox, self)) total = arithmetic(sandbox, Op::add, total, path.of(v));
  return total;
}

Value group_by(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1);
  const Path path(sandbox, *p[0], p.has(1) ? p[1] : nullptr);
  const bool folds = !p.flag(2, false);
  const auto key_of = [&](const Value& v) { return folds ? folded(sandbox, path.of(v)) : path.of(v); };
  std::vector<Value> keys, groups;
  const auto all = all_items(sandbox, self);
  for (const Value& v : all) keys.push_back(key_of(v));
  const auto ordered = sorted(sandbox, all, keys, false).list();
  for (std::size_t begin = 0, end; begin < ordered.size(); begin = end) {
    const Value key = key_of(ordered[begin]);
    for (end = begin + 1; end < ordered.size() && equals(sandbox, key_of(ordered[end]), key);) ++end;
    const Value parts[] = {path.of(ordered[begin]), make_list(ordered.subspan(begin, end - begin))};
    groups.push_back(keep_list(sandbox, parts, Form::group));
  }
  return keep_list(sandbox, groups);
}

Value batch(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("batch", arguments, {"linecount", "fill_with"}, 1);
  const auto all = all_items(sandbox, self);
  const std::int64_t count = p.whole(0, 1);
  const std::size_t each = count < 1 ? std::max<std::size_t>(all.size(), 1) : static_cast<std::size_t>(count);
  std::vector<Value> batches;
  for (std::size_t begin = 0; begin < all.size(); begin += each) {
    const auto part = all.subspan(begin, std::min(each, all.size() - begin));
    if (part.size() == each || !p.has(1)) {
      batches.push_back(make_list(part));
    } else {
      Value* filled = sandbox.array<Value>(each);
      std::fill(std::copy(part.begin(), part.end(), filled), filled + each, *p[1]);
      batches.push_back(make_list({filled, each}));
    }
    if (all.size() - begin <= each) break;
  }
  return make_generator(sandbox, keep_list(sandbox, batches).list());
}

Value slices(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("slice", arguments, {"slices", "fill_with"}, 1);
  const auto all = all_items(sandbox, self);
  const std::int64_t count = p.whole(0, 1);
  if (count == 0) fail("division by zero");
  const std::size_t n = count < 0 ? 0 : static_cast<std::size_t>(count);
  sandbox.spend(n);
  std::vector<Value> parts;
  for (std::size_t i = 0, begin = 0; i < n; ++i) {
    const bool longer = i < all.size() % n;
    const auto part = all.subspan(begin, all.size() / n + longer);
    begin += part.size();
    sandbox.check(parts.size() * sizeof(Value));
    parts.push_back(longer || !p.has(1) ? make_list(part)
                                        : arithmetic(sandbox, Op::add, make_list(part), keep_list(sandbox, {p[1], 1})));
  }
  return make_generator(sandbox, keep_list(sandbox, parts).list());
}

Value default_value(Sandbox&, const Value& self, const Arguments& arguments) {
  const Parameters p("default", arguments, {"default_value", "boolean"});
  return self.is(Kind::undefined) || (p.flag(1, false) && !is_true(self)) ? p.get(0, make_text("")) : self;
}

constexpr std::array<NativeEntry, 19> table = {{{"default", default_value},
                                                {"d", default_value},
                                                {"length", length},
                                                {"count", length},
                                                {"first", first},
                                                {"last", last},
                                                {"list", list},
                                                {"reverse", reverse},
                                                {"join", join},
                                                {"items", items},
                                                {"sort", sort},
                                                {"dictsort", dict_sort},
                                                {"unique", unique},
                                                {"min", extreme<false>},
                                                {"max", extreme<true>},
                                                {"sum", sum},
                                                {"groupby", group_by},
                                                {"batch", batch},
                                                {"slice", slices}}};

}  // namespace

std::span<const NativeEntry> sequence_filters() { return table; }

}  // namespace atom::engine::jinja
