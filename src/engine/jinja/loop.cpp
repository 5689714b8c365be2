// The `loop` variable of a running loop, and what a macro tells about itself.
#include <algorithm>
#include <array>

#include "interpreter.hpp"
#include "natives.hpp"
#include "operators.hpp"

namespace atom::engine::jinja {

bool Loop::draw(Value& item) {
  while (drawn < source.items.size()) {
    interpreter.sandbox_.spend(1);
    item = source.items[drawn++];
    if (!condition || interpreter.meets(*this, item)) return true;
  }
  if (source.failure) fail(source.failure);
  return false;
}

bool Loop::advance() {
  if (!has_after && !draw(after)) return false;
  has_after = false;
  previous = current;
  current = after;
  ++index0;
  return true;
}

bool Loop::peek() {
  if (!has_after) has_after = draw(after);
  return has_after;
}

std::int64_t Loop::count() {
  if (length >= 0) return length;
  if (condition) {
    Sandbox& sandbox = interpreter.sandbox_;
    std::vector<Value> rest;
    for (Value item; draw(item); rest.push_back(item)) sandbox.check(rest.size() * sizeof(Value));
    source = {keep_list(sandbox, rest).list()};
    drawn = 0;
    condition = nullptr;
  }
  if (source.failure) fail(source.failure);
  const std::size_t left = source.items.size() - drawn;
  return length = index0 + 1 + (has_after ? 1 : 0) + static_cast<std::int64_t>(left);
}

namespace {

Value cycle(Sandbox&, const Value& self, const Arguments& arguments) {
  if (arguments.positional.empty()) fail("cycle: no items for cycling given");
  return arguments.positional[static_cast<std::size_t>(self.loop->index0) % arguments.positional.size()];
}

Value changed(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  Loop& loop = *self.loop;
  const Value now = make_list(arguments.positional, Form::tuple);
  if (std::exchange(loop.has_changed, true) && equals(sandbox, loop.changed, now)) return make_bool(false);
  loop.changed = now;
  return make_bool(true);
}

}  // namespace

Value loop_attribute(Sandbox& sandbox, Loop& loop, std::string_view name) {
  if (name == "index") return make_int(loop.index0 + 1);
  if (name == "index0") return make_int(loop.index0);
  if (name == "first") return make_bool(loop.index0 == 0);
  if (name == "last") return make_bool(!loop.peek());
  if (name == "length") return make_int(loop.count());
  if (name == "revindex") return make_int(loop.count() - loop.index0);
  if (name == "revindex0") return make_int(loop.count() - loop.index0 - 1);
  if (name == "depth") return make_int(loop.depth0 + 1);
  if (name == "depth0") return make_int(loop.depth0);
  if (name == "previtem") return loop.index0 == 0 ? make_undefined(Form::explanation, "there is no previous item") : loop.previous;
  if (name == "nextitem") return loop.peek() ? loop.after : make_undefined(Form::explanation, "there is no next item");
  Value self;
  self.loop = &loop;
  self.kind = Kind::loop;
  if (name == "cycle") return make_function(sandbox, cycle, self);
  if (name == "changed") return make_function(sandbox, changed, self);
  return make_undefined(Form::missing_attribute, name, Kind::loop);
}

Value macro_attribute(Sandbox& sandbox, const Macro& macro, std::string_view name) {
  const Signature& signature = *macro.statement->signature;
  if (name == "name") return make_text(macro.statement->text);
  if (name == "caller") return make_bool(signature.uses_caller);
  if (name == "catch_kwargs") return make_bool(signature.uses_kwargs);
  if (name == "catch_varargs") return make_bool(signature.uses_varargs);
  if (name != "arguments") return make_undefined(Form::missing_attribute, name, Kind::macro);
  std::vector<Value> names;
  for (const std::string_view parameter : signature.names) names.push_back(make_text(parameter));
  return keep_list(sandbox, names, Form::tuple);
}

}  // namespace atom::engine::jinja
