// Filters that apply another filter or a test to each item: map, select, reject, selectattr, rejectattr.
// They yield generators. Work is done at once, but a failure on the way waits until the walk reaches it, as Python's would.
#include <array>

#include "natives.hpp"
#include "path.hpp"

namespace atom::engine::jinja {
namespace {

/// A generator of what `fill` puts into a list before it fails, if it does.
template <class Fill> Value generated(Sandbox& sandbox, Fill fill) {
  std::vector<Value> out;
  const char* failure = nullptr;
  try {
    fill(out);
  } catch (const LimitReached&) {
    throw;
  } catch (const Failure& f) {
    failure = sandbox.keep(std::string(f.what()) + '\0').data();
  }
  return make_generator(sandbox, keep_list(sandbox, out).list(), failure);
}

/// Calls `each` for the items of `self`.
template <class Each> void for_each(Sandbox& sandbox, const Value& self, const std::vector<Value>& out, Each each) {
  const Items walked = walk(sandbox, self);
  for (const Value& v : walked.items) {
    sandbox.spend(1);
    sandbox.check(out.size() * sizeof(Value));
    each(v);
  }
  if (walked.failure) fail(walked.failure);
}

Value map(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  return generated(sandbox, [&](std::vector<Value>& out) {
    if (!is_true(self)) return;
    if (arguments.positional.empty() && !arguments.named.empty()) {
      const Parameters p("map", arguments, {"attribute", "default"}, 1);
      const Path path(sandbox, *p[0], p.has(1) ? p[1] : nullptr);
      return for_each(sandbox, self, out, [&](const Value& v) { out.push_back(path.of(v)); });
    }
    if (arguments.positional.empty() || !arguments.positional[0].is(Kind::text)) fail("map: the name of a filter is missing");
    const Native filter = find_filter(arguments.positional[0].text());
    if (!filter) fail(unknown("filter", arguments.positional[0].text()));
    const Arguments rest{arguments.positional.subspan(1), arguments.named};
    for_each(sandbox, self, out, [&](const Value& v) { out.push_back(filter(sandbox, v, rest)); });
  });
}

template <bool wanted, bool by_attribute> Value filtered(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  return generated(sandbox, [&](std::vector<Value>& out) {
    if (!is_true(self)) return;
    std::span<const Value> rest = arguments.positional;
    if (by_attribute && rest.empty()) fail("selectattr, rejectattr: the name of an attribute is missing");
    const Path path(sandbox, by_attribute ? rest[0] : Value());
    rest = rest.subspan(by_attribute);
    Native test = nullptr;
    if (!rest.empty()) {
      if (!rest[0].is(Kind::text)) fail("the name of a test must be a text");
      test = find_test(rest[0].text());
      if (!test) fail(unknown("test", rest[0].text()));
      rest = rest.subspan(1);
    }
    const Arguments test_arguments{rest, arguments.named};
    for_each(sandbox, self, out, [&](const Value& v) {
      const Value at = path.of(v);
      if (is_true(test ? test(sandbox, at, test_arguments) : at) == wanted) out.push_back(v);
    });
  });
}

constexpr std::array<NativeEntry, 5> table = {{{"map", map},
                                               {"select", filtered<true, false>},
                                               {"reject", filtered<false, false>},
                                               {"selectattr", filtered<true, true>},
                                               {"rejectattr", filtered<false, true>}}};

}  // namespace

std::span<const NativeEntry> selecting_filters() { return table; }

}  // namespace atom::engine::jinja
