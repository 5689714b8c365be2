// Global functions: range, dict, namespace, joiner, cycler, raise_exception. (strftime_now needs the clock: interpreter.cpp.)
#include <algorithm>
#include <array>

#include "natives.hpp"
#include "print.hpp"

namespace atom::engine::jinja {
namespace {

Value range(Sandbox& sandbox, const Value&, const Arguments& arguments) {
  constexpr std::int64_t longest = 100'000;  // as in Jinja's sandbox
  const Parameters p("range", arguments, {"start", "stop", "step"}, 1);
  for (std::size_t i = 0; i < 3; ++i) {
    if (p[i] && p[i]->is(Kind::none)) fail("range: expected integers, found NoneType");
  }
  const bool one = !p[1];
  const std::int64_t start = one ? 0 : p.whole(0, 0), stop = one ? p.whole(0, 0) : p.whole(1, 0), step = p.whole(2, 1);
  if (step == 0) fail("range: the step must not be zero");
  std::int64_t distance = 0;
  const bool overflows = step > 0 ? __builtin_sub_overflow(stop, start, &distance) : __builtin_sub_overflow(start, stop, &distance);
  const std::int64_t stride = step == INT64_MIN ? INT64_MAX : step < 0 ? -step : step;
  const std::int64_t count = distance <= 0 ? 0 : (distance - 1) / stride + 1;
  if ((overflows && (step > 0) == (stop > start)) || count > longest) fail("range: more than ", std::to_string(longest), " items");
  const auto n = static_cast<std::size_t>(overflows ? 0 : count);
  sandbox.spend(1 + n / 8);
  Value* items = sandbox.array<Value>(n);
  for (std::size_t i = 0; i < n; ++i) items[i] = make_int(start + static_cast<std::int64_t>(i) * step);
  return make_list({items, n}, Form::range);
}

Value dict(Sandbox& sandbox, const Value&, const Arguments& arguments) {
  if (arguments.positional.size() > 1) fail("dict: at most one positional argument");
  DictBuilder built(sandbox);
  if (!arguments.positional.empty()) {
    const Value& from = arguments.positional[0];
    if (from.is(Kind::dict)) {
      for (const Entry& e : from.dict()) built.set(e.key, e.value);
    } else {
      for (const Value& v : all_items(sandbox, from)) {
        const auto pair = all_items(sandbox, v);
        if (pair.size() != 2) fail("dict: expected pairs, found ", std::to_string(pair.size()), " values");
        built.set(pair[0], pair[1]);
      }
    }
  }
  for (const Named& named : arguments.named) built.set(make_text(named.name), named.value);
  return built.done();
}

Value new_namespace(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Value made = make_namespace(sandbox);
  for (const Entry& e : dict(sandbox, self, arguments).dict()) {
    if (!e.key.is(Kind::text)) fail("namespace: names must be texts");
    made.name_space->set(sandbox, e.key.text(), e.value);
  }
  return made;
}

Value joined(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters none("joiner", arguments, {});
  Namespace& state = *self.name_space;
  const Value separator = is_true(*state.find("used")) ? *state.find("sep") : make_text("");
  state.set(sandbox, "used", make_bool(true));
  return separator;
}

Value joiner(Sandbox& sandbox, const Value&, const Arguments& arguments) {
  const Parameters p("joiner", arguments, {"sep"});
  const Value state = make_namespace(sandbox);
  state.name_space->set(sandbox, "sep", p.get(0, make_text(", ")));
  state.name_space->set(sandbox, "used", make_bool(false));
  return make_function(sandbox, joined, state);
}

/// What a cycler shows; its position is out of the template's reach.
void show_current(Sandbox& sandbox, Namespace& state, std::int64_t position) {
  state.set(sandbox, "pos", make_int(position));
  state.find("view")->name_space->set(sandbox, "current", state.find("items")->items[position]);
}

Value cycler_next(Sandbox& sandbox, const Value& self, const Arguments&) {
  Namespace& state = *self.name_space;
  const std::int64_t position = state.find("pos")->integer;
  const Value& items = *state.find("items");
  show_current(sandbox, state, (position + 1) % static_cast<std::int64_t>(items.size));
  return items.items[position];
}

Value cycler_reset(Sandbox& sandbox, const Value& self, const Arguments&) {
  show_current(sandbox, *self.name_space, 0);
  return {};
}

Value cycler(Sandbox& sandbox, const Value&, const Arguments& arguments) {
  if (arguments.positional.empty() || !arguments.named.empty()) fail("cycler: expected one or more items");
  const Value state = make_namespace(sandbox), view = make_namespace(sandbox);
  state.name_space->set(sandbox, "items", keep_list(sandbox, arguments.positional, Form::tuple));
  state.name_space->set(sandbox, "view", view);
  show_current(sandbox, *state.name_space, 0);
  view.name_space->set(sandbox, "next", make_function(sandbox, cycler_next, state));
  view.name_space->set(sandbox, "reset", make_function(sandbox, cycler_reset, state));
  return view;
}

Value raise_exception(Sandbox& sandbox, const Value&, const Arguments& arguments) {
  const Parameters p("raise_exception", arguments, {"message"}, 1);
  throw Refused(std::string(to_text(sandbox, *p[0])));
}

constexpr std::array<NativeEntry, 6> table = {{{"range", range},
                                               {"dict", dict},
                                               {"namespace", new_namespace},
                                               {"joiner", joiner},
                                               {"cycler", cycler},
                                               {"raise_exception", raise_exception}}};

}  // namespace

Native find_global(std::string_view name) {
  const auto* found = std::find_if(table.begin(), table.end(), [&](const NativeEntry& e) { return e.name == name; });
  return found == table.end() ? nullptr : found->function;
}

}  // namespace atom::engine::jinja
