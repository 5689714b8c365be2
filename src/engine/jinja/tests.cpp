// Tests: what may stand behind `is`.
#include <algorithm>
#include <array>

#include "natives.hpp"
#include "operators.hpp"
#include "print.hpp"
#include "unicode.hpp"

namespace atom::engine::jinja {
namespace {

/// A test without parameters.
template <bool (*holds)(const Value&)> Value plain(Sandbox&, const Value& self, const Arguments& arguments) {
  const Parameters none("test", arguments, {});
  return make_bool(holds(self));
}
template <Kind kind> bool is_kind(const Value& v) { return v.is(kind); }
template <bool value> bool is_bool(const Value& v) { return v.is(Kind::boolean) && v.boolean == value; }
bool is_defined(const Value& v) { return !v.is(Kind::undefined); }
bool is_number(const Value& v) { return v.is_number(); }
bool is_escaped(const Value& v) { return v.is_markup(); }
bool is_callable(const Value& v) { return v.is(Kind::function) || v.is(Kind::macro) || v.is(Kind::loop) || v.is(Kind::undefined); }
bool is_iterable(const Value& v) {
  return v.is(Kind::text) || v.is(Kind::list) || v.is(Kind::dict) || v.is(Kind::generator) || v.is(Kind::loop) ||
         v.is(Kind::undefined);
}
bool is_sequence(const Value& v) {
  const bool view = v.form == Form::dict_keys || v.form == Form::dict_values || v.form == Form::dict_items;
  return v.is(Kind::text) || v.is(Kind::dict) || v.is(Kind::undefined) || (v.is(Kind::list) && !view);
}

template <Comparison comparison> Value compared(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("test", arguments, {"other"}, 1);
  return make_bool(compare(sandbox, comparison, self, *p[0]));
}

Value divisible(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("divisibleby", arguments, {"num"}, 1);
  return make_bool(equals(sandbox, arithmetic(sandbox, Op::modulo, self, *p[0]), make_int(0)));
}

template <int remainder> Value parity(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters none("test", arguments, {});
  return make_bool(equals(sandbox, arithmetic(sandbox, Op::modulo, self, make_int(2)), make_int(remainder)));
}

/// Whether both are the same object: for values without identity, whether they are equal and of one kind.
Value same(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("sameas", arguments, {"other"}, 1);
  const Value& other = *p[0];
  if (self.kind != other.kind) return make_bool(false);
  if (self.is(Kind::list) || self.is(Kind::dict)) return make_bool(self.items == other.items && self.size == other.size);
  return make_bool(equals(sandbox, self, other));
}

template <bool (*holds)(std::string_view)> Value cased(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters none("test", arguments, {});
  const std::string_view text = to_text(sandbox, self);
  sandbox.spend_on_characters(text.size());
  return make_bool(holds(text));
}

template <Native (*find)(std::string_view)> Value exists(Sandbox&, const Value& self, const Arguments& arguments) {
  const Parameters none("test", arguments, {});
  return make_bool(self.is(Kind::text) && find(self.text()) != nullptr);
}

constexpr std::array<NativeEntry, 39> table = {{{"defined", plain<is_defined>},
                                                {"undefined", plain<is_kind<Kind::undefined>>},
                                                {"none", plain<is_kind<Kind::none>>},
                                                {"string", plain<is_kind<Kind::text>>},
                                                {"mapping", plain<is_kind<Kind::dict>>},
                                                {"iterable", plain<is_iterable>},
                                                {"sequence", plain<is_sequence>},
                                                {"number", plain<is_number>},
                                                {"integer", plain<is_kind<Kind::integer>>},
                                                {"float", plain<is_kind<Kind::real>>},
                                                {"boolean", plain<is_kind<Kind::boolean>>},
                                                {"true", plain<is_bool<true>>},
                                                {"false", plain<is_bool<false>>},
                                                {"callable", plain<is_callable>},
                                                {"escaped", plain<is_escaped>},
                                                {"odd", parity<1>},
                                                {"even", parity<0>},
                                                {"divisibleby", divisible},
                                                {"upper", cased<is_upper>},
                                                {"lower", cased<is_lower>},
                                                {"sameas", same},
                                                {"in", compared<Comparison::in>},
                                                {"equalto", compared<Comparison::equal>},
                                                {"eq", compared<Comparison::equal>},
                                                {"==", compared<Comparison::equal>},
                                                {"ne", compared<Comparison::unequal>},
                                                {"!=", compared<Comparison::unequal>},
                                                {"lessthan", compared<Comparison::less>},
                                                {"lt", compared<Comparison::less>},
                                                {"<", compared<Comparison::less>},
                                                {"le", compared<Comparison::less_equal>},
                                                {"<=", compared<Comparison::less_equal>},
                                                {"greaterthan", compared<Comparison::greater>},
                                                {"gt", compared<Comparison::greater>},
                                                {">", compared<Comparison::greater>},
                                                {"ge", compared<Comparison::greater_equal>},
                                                {">=", compared<Comparison::greater_equal>},
                                                {"filter", exists<find_filter>},
                                                {"test", exists<find_test>}}};

}  // namespace

Native find_test(std::string_view name) {
  const auto* found = std::find_if(table.begin(), table.end(), [&](const NativeEntry& e) { return e.name == name; });
  return found == table.end() ? nullptr : found->function;
}

}  // namespace atom::engine::jinja
