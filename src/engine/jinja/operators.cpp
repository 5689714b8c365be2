#include "operators.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "natives.hpp"
#include "print.hpp"
#include "unicode.hpp"

namespace atom::engine::jinja {
namespace {

constexpr std::string_view sign_of(Op op) {
  switch (op) {
    case Op::add: return "+";
    case Op::subtract: return "-";
    case Op::multiply: return "*";
    case Op::divide: return "/";
    case Op::floor_divide: return "//";
    case Op::modulo: return "%";
    default: return "**";
  }
}

[[noreturn]] void overflow() { fail("an integer beyond 64 bits"); }

std::int64_t power(std::int64_t base, std::int64_t exponent) {
  std::int64_t result = 1;
  for (;;) {
    if ((exponent & 1) && __builtin_mul_overflow(result, base, &result)) overflow();
    exponent >>= 1;
    if (exponent == 0) return result;
    if (__builtin_mul_overflow(base, base, &base)) overflow();
  }
}

Value whole_arithmetic(Op op, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  switch (op) {
    case Op::add:
      if (__builtin_add_overflow(a, b, &result)) overflow();
      return make_int(result);
    case Op::subtract:
      if (__builtin_sub_overflow(a, b, &result)) overflow();
      return make_int(result);
    case Op::multiply:
      if (__builtin_mul_overflow(a, b, &result)) overflow();
      return make_int(result);
    case Op::divide: return make_real(static_cast<double>(a) / static_cast<double>(b));
    case Op::power: return b < 0 ? make_real(std::pow(static_cast<double>(a), static_cast<double>(b))) : make_int(power(a, b));
    default: break;
  }
  if (b == -1) {  // the one quotient that can overflow
    if (op == Op::modulo) return make_int(0);
    if (__builtin_sub_overflow(std::int64_t{0}, a, &result)) overflow();
    return make_int(result);
  }
  const bool adjust = a % b != 0 && (a < 0) != (b < 0);  // towards minus infinity, and a remainder of the divisor's sign
  return make_int(op == Op::modulo ? a % b + (adjust ? b : 0) : a / b - (adjust ? 1 : 0));
}

Value real_arithmetic(Op op, double a, double b) {
  switch (op) {
    case Op::add: return make_real(a + b);
    case Op::subtract: return make_real(a - b);
    case Op::multiply: return make_real(a * b);
    case Op::divide: return make_real(a / b);
    case Op::power: {
      const double result = std::pow(a, b);
      if (std::isnan(result) && !std::isnan(a) && !std::isnan(b)) fail("a power that is no real number");
      if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) fail("a power beyond the range of a float");
      return make_real(result);
    }
    default: break;
  }
  double remainder = std::fmod(a, b), quotient = (a - remainder) / b;
  if (remainder == 0) {
    remainder = std::copysign(0.0, b);
  } else if ((b < 0) != (remainder < 0)) {
    remainder += b;
    quotient -= 1;
  }
  if (op == Op::modulo) return make_real(remainder);
  if (quotient == 0) return make_real(std::copysign(0.0, a / b));
  const double down = std::floor(quotient);
  return make_real(quotient - down > 0.5 ? down + 1 : down);
}

Value add_texts(Sandbox& sandbox, const Value& a, const Value& b) {
  if (a.is_markup() == b.is_markup()) return make_like(a, sandbox.join(a.text(), b.text()));
  const std::string escaped = escape_html(a.is_markup() ? b.text() : a.text());
  return a.is_markup() ? keep_text(sandbox, std::string(a.text()) + escaped, Form::markup)
                       : keep_text(sandbox, escaped + std::string(b.text()), Form::markup);
}

Value repeated(Sandbox& sandbox, const Value& v, std::int64_t times) {
  const std::size_t n = times < 0 ? 0 : static_cast<std::size_t>(times);
  const std::size_t each = v.is(Kind::text) ? 1 : sizeof(Value);
  if (n == 0 || v.size == 0) return v.is(Kind::text) ? make_like(v, {}) : make_list({}, v.form);
  sandbox.check(n);
  if (v.size > std::size_t(-1) / each / n) sandbox.check(std::size_t(-1));
  sandbox.check(n * v.size * each);
  sandbox.spend_on(n * v.size * each);
  if (v.is(Kind::text)) {
    std::string out;
    out.reserve(n * v.size);
    for (std::size_t i = 0; i < n; ++i) out += v.text();
    return make_like(v, sandbox.keep(out));
  }
  Value* items = sandbox.array<Value>(n * v.size);
  for (std::size_t i = 0; i < n; ++i) std::copy(v.items, v.items + v.size, items + i * v.size);
  return make_list({items, n * v.size}, v.form);
}

bool is_concatenable(const Value& v) {
  return v.is(Kind::list) && (v.form == Form::plain || v.form == Form::tuple || v.form == Form::group);
}
Form form_of_sum(const Value& v) { return v.form == Form::plain ? Form::plain : Form::tuple; }

/// Attributes that exist in Python and would change the object.
bool is_mutating(const Value& object, std::string_view name) {
  constexpr std::array<std::string_view, 8> of_lists = {"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"};
  constexpr std::array<std::string_view, 5> of_dicts = {"clear", "pop", "popitem", "setdefault", "update"};
  if (object.is(Kind::dict)) return std::find(of_dicts.begin(), of_dicts.end(), name) != of_dicts.end();
  return object.is(Kind::list) && object.form == Form::plain && std::find(of_lists.begin(), of_lists.end(), name) != of_lists.end();
}

Value unsafe(Sandbox& sandbox, const Value& object, std::string_view name) {
  return make_undefined(Form::explanation,
                        sandbox.keep("access to attribute '" + std::string(name) + "' of '" + std::string(type_name(object)) +
                                     "' object is unsafe: values cannot be changed"));
}

/// What getattr finds; a function, or another value, or undefined.
Value own_attribute(Sandbox& sandbox, const Value& object, std::string_view name) {
  switch (object.kind) {
    case Kind::undefined: require_defined(object); break;
    case Kind::name_space:
      if (name.starts_with('_')) return unsafe(sandbox, object, name);
      if (const Value* found = object.name_space->find(name)) return *found;
      break;
    case Kind::loop: return loop_attribute(sandbox, *object.loop, name);
    case Kind::macro: return macro_attribute(sandbox, *object.macro, name);
    default:
      if (is_mutating(object, name)) return unsafe(sandbox, object, name);
      if (const Native method = find_method(object, name)) return make_function(sandbox, method, object);
      if (object.is(Kind::list) && object.form == Form::group) {
        if (name == "grouper") return object.items[0];
        if (name == "list") return object.items[1];
      }
  }
  return make_undefined(Form::missing_attribute, name, object.kind);
}

Value missing_element(Sandbox& sandbox, const Value& object, const Value& key) {
  std::string shown;
  append_repr(sandbox, shown, key);
  return make_undefined(Form::missing_element, sandbox.keep(shown), object.kind);
}

}  // namespace

Value arithmetic(Sandbox& sandbox, Op op, const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    const bool divides = op == Op::divide || op == Op::floor_divide || op == Op::modulo;
    if ((divides && b.number() == 0) || (op == Op::power && a.number() == 0 && b.number() < 0)) fail("division by zero");
    if (a.is_whole() && b.is_whole()) return whole_arithmetic(op, a.whole(), b.whole());
    return real_arithmetic(op, a.number(), b.number());
  }
  if (op == Op::modulo && a.is(Kind::text)) return percent_format(sandbox, a, b);
  require_defined(a);
  require_defined(b);
  if (op == Op::add) {
    if (a.is(Kind::text) && b.is(Kind::text)) return add_texts(sandbox, a, b);
    if (is_concatenable(a) && is_concatenable(b) && form_of_sum(a) == form_of_sum(b)) {
      sandbox.spend(1 + (a.size + b.size) / 8);
      Value* items = sandbox.array<Value>(a.size + b.size);
      std::copy(b.items, b.items + b.size, std::copy(a.items, a.items + a.size, items));
      return make_list({items, a.size + b.size}, form_of_sum(a));
    }
    if (a.is(Kind::text)) fail("can only concatenate str (not \"", type_name(b), "\") to str");
    if (is_concatenable(a)) fail("can only concatenate ", type_name(a), " (not \"", type_name(b), "\") to ", type_name(a));
  }
  if (op == Op::multiply) {
    if ((a.is(Kind::text) || is_concatenable(a)) && b.is_whole()) return repeated(sandbox, a, b.whole());
    if ((b.is(Kind::text) || is_concatenable(b)) && a.is_whole()) return repeated(sandbox, b, a.whole());
  }
  fail("unsupported operand types for ", sign_of(op), ": '", type_name(a), "' and '", type_name(b), "'");
}

Value negate(const Value& v) {
  if (v.is(Kind::real)) return make_real(-v.real);
  require_defined(v);
  if (!v.is_whole()) fail("bad operand type for unary -: '", type_name(v), "'");
  return whole_arithmetic(Op::subtract, 0, v.whole());
}

Value positive(const Value& v) {
  require_defined(v);
  if (!v.is_number()) fail("bad operand type for unary +: '", type_name(v), "'");
  return v.is_whole() ? make_int(v.whole()) : v;
}

bool compare(Sandbox& sandbox, Comparison comparison, const Value& a, const Value& b) {
  switch (comparison) {
    case Comparison::equal: return equals(sandbox, a, b);
    case Comparison::unequal: return !equals(sandbox, a, b);
    case Comparison::less: return less(sandbox, a, b);
    case Comparison::less_equal: return less(sandbox, a, b, "<=") || equals(sandbox, a, b);
    case Comparison::greater: return less(sandbox, b, a, ">");
    case Comparison::greater_equal: return less(sandbox, b, a, ">=") || equals(sandbox, a, b);
    case Comparison::in: return contains(sandbox, b, a);
    case Comparison::not_in: break;
  }
  return !contains(sandbox, b, a);
}

bool contains(Sandbox& sandbox, const Value& container, const Value& item) {
  switch (container.kind) {
    case Kind::text:
      if (!item.is(Kind::text)) fail("'in <string>' requires string as left operand, not ", type_name(item));
      sandbox.spend_on_search(container.size, item.size);
      return container.text().find(item.text()) != std::string_view::npos;
    case Kind::dict: require_hashable(item); return find(sandbox, container, item) != nullptr;
    case Kind::undefined: return false;
    case Kind::list:
    case Kind::generator:
      for (const Value& v : all_items(sandbox, container)) {
        if (equals(sandbox, v, item)) return true;
      }
      return false;
    default: fail("argument of type '", type_name(container), "' is not iterable");
  }
}

Value attribute(Sandbox& sandbox, const Value& object, std::string_view name) {
  const Value found = own_attribute(sandbox, object, name);
  if (object.is(Kind::dict) && found.is(Kind::undefined) && found.form == Form::missing_attribute) {
    if (const Value* value = find(sandbox, object, make_text(name))) return *value;
  }
  return found;
}

Value item(Sandbox& sandbox, const Value& object, const Value& key) {
  switch (object.kind) {
    case Kind::undefined: require_defined(object); break;
    case Kind::dict:
      if (key.is(Kind::list) && key.form == Form::plain) break;
      if (key.is(Kind::dict)) break;
      if (const Value* found = find(sandbox, object, key)) return *found;
      break;
    case Kind::list:
    case Kind::text: {
      if (!key.is_whole()) break;
      if (object.is(Kind::list) && object.form >= Form::dict_keys && object.form <= Form::dict_items) break;
      const bool text = object.is(Kind::text);
      if (text) sandbox.spend_on(4 * object.size);
      const auto n = static_cast<std::int64_t>(text ? code_points(object.text()) : object.size);
      const std::int64_t index = key.whole() < 0 ? key.whole() + n : key.whole();
      if (index < 0 || index >= n) break;
      if (!text) return object.items[index];
      const std::string_view rest = object.text().substr(byte_offset(object.text(), static_cast<std::size_t>(index)));
      return make_like(object, rest.substr(0, first_character(rest)));
    }
    default: break;
  }
  return key.is(Kind::text) ? own_attribute(sandbox, object, key.text()) : missing_element(sandbox, object, key);
}

Value slice(Sandbox& sandbox, const Value& object, const Value& start, const Value& stop, const Value& step) {
  require_defined(object);
  const bool text = object.is(Kind::text);
  if (!text && (!object.is(Kind::list) || (object.form >= Form::dict_keys && object.form <= Form::dict_items))) {
    fail("'", type_name(object), "' object cannot be sliced");
  }
  const auto index = [](const Value& v, std::int64_t otherwise) {
    if (v.is(Kind::none)) return otherwise;
    if (!v.is_whole()) fail("slice indices must be integers or None, not ", type_name(v));
    return v.whole();
  };
  if (text) sandbox.spend_on(4 * object.size);
  const auto n = static_cast<std::int64_t>(text ? code_points(object.text()) : object.size);
  const std::int64_t by = std::max<std::int64_t>(index(step, 1), -INT64_MAX);
  if (by == 0) fail("slice step cannot be zero");
  const std::int64_t low = by < 0 ? -1 : 0, high = by < 0 ? n - 1 : n;  // what indices are clamped to
  const auto clamp = [&](const Value& v, std::int64_t otherwise) {
    const std::int64_t i = index(v, otherwise);
    return v.is(Kind::none) ? i : std::clamp(i < 0 ? i + n : i, low, high);
  };
  const std::int64_t from = clamp(start, by < 0 ? high : low), to = clamp(stop, by < 0 ? low : high);
  const std::int64_t distance = by < 0 ? from - to : to - from, stride = by < 0 ? -by : by;
  const auto count = static_cast<std::size_t>(distance <= 0 ? 0 : (distance - 1) / stride + 1);
  const auto first = static_cast<std::size_t>(from);
  if (!text) {
    if (by == 1) return make_list(count ? object.list().subspan(first, count) : object.list().first(0), object.form);
    sandbox.spend(1 + count / 8);
    Value* items = sandbox.array<Value>(count);
    for (std::size_t i = 0; i < count; ++i) items[i] = object.items[from + static_cast<std::int64_t>(i) * by];
    return make_list({items, count}, object.form);
  }
  const std::string_view s = object.text();
  if (count == 0) return make_like(object, {});
  if (by == 1) {
    const std::string_view rest = s.substr(byte_offset(s, first));
    return make_like(object, rest.substr(0, byte_offset(rest, count)));
  }
  sandbox.spend_on_characters(s.size());
  sandbox.check(s.size() * sizeof(std::size_t));
  std::vector<std::size_t> begins;
  for (std::size_t at = 0; at < s.size(); at += first_character(s.substr(at))) begins.push_back(at);
  std::string out;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string_view rest = s.substr(begins[static_cast<std::size_t>(from + static_cast<std::int64_t>(i) * by)]);
    out += rest.substr(0, first_character(rest));
  }
  return make_like(object, sandbox.keep(out));
}

}  // namespace atom::engine::jinja
