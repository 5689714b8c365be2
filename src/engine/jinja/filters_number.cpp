// Filters that make or take numbers.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include "natives.hpp"
#include "operators.hpp"
#include "real.hpp"
#include "unicode.hpp"

namespace atom::engine::jinja {
namespace {

/// The digits of a number as Python reads it: without white space around it, or single underscores between digits.
std::optional<std::string> number_text(std::string_view text) {
  text = strip(text, true, true);
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto is_digit = [&](std::size_t k) {
      return k < text.size() && ((text[k] >= '0' && text[k] <= '9') || ((text[k] | 32) >= 'a' && (text[k] | 32) <= 'z'));
    };
    if (text[i] != '_') {
      out += text[i];
    } else if (i == 0 || !is_digit(i - 1) || !is_digit(i + 1)) {
      return std::nullopt;
    }
  }
  if (out.starts_with('+')) {
    out.erase(0, 1);
    if (out.starts_with('-')) return std::nullopt;
  }
  return out;
}

std::optional<double> real_of(std::string_view text) {
  const auto digits = number_text(text);
  if (!digits || digits->empty() || digits->find('(') != std::string::npos) return std::nullopt;  // no nan(...)
  const double value = parse_real(*digits);
  const bool named = (digits->back() | 32) == 'n';  // "nan"
  return std::isnan(value) && !named ? std::nullopt : std::optional(value);
}

std::optional<std::int64_t> parse_whole(std::string_view text, int base) {
  auto digits = number_text(text);
  if (!digits) return std::nullopt;
  const bool negative = digits->starts_with('-');
  std::size_t at = negative;
  const char letter = digits->size() > at + 1 && (*digits)[at] == '0' ? static_cast<char>((*digits)[at + 1] | 32) : '\0';
  const int prefix = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
  if (prefix && (base == prefix || base == 0)) {
    base = prefix;
    at += 2;
  }
  digits->erase(0, at);
  if (negative) digits->insert(0, "-");
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits->data(), digits->data() + digits->size(), value, base == 0 ? 10 : base);
  if (error == std::errc::result_out_of_range) fail("an integer beyond 64 bits");
  if (error != std::errc() || end != digits->data() + digits->size()) return std::nullopt;
  return value;
}

std::int64_t truncated(double value) {
  if (!(std::abs(value) < 0x1p63)) fail("an integer beyond 64 bits");
  return static_cast<std::int64_t>(value);
}

Value to_int(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("int", arguments, {"default", "base"});
  require_defined(self);
  const Value otherwise = p.get(0, make_int(0));
  if (self.is_whole()) return make_int(self.whole());
  if (self.is(Kind::real)) {
    if (std::isinf(self.real)) fail("cannot convert float infinity to integer");
    return std::isnan(self.real) ? otherwise : make_int(truncated(self.real));
  }
  if (!self.is(Kind::text)) return otherwise;
  sandbox.spend_on(self.size);
  const std::int64_t base = p.whole(1, 10);
  if (base == 0 || (base >= 2 && base <= 36)) {
    if (const auto value = parse_whole(self.text(), static_cast<int>(base))) return make_int(*value);
  }
  const auto real = real_of(self.text());
  return real && std::isfinite(*real) ? make_int(truncated(*real)) : otherwise;
}

Value to_float(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("float", arguments, {"default"});
  require_defined(self);
  if (self.is_number()) return make_real(self.number());
  if (self.is(Kind::text)) {
    sandbox.spend_on(self.size);
    if (const auto value = real_of(self.text())) return make_real(*value);
  }
  return p.get(0, make_real(0));
}

Value absolute(Sandbox&, const Value& self, const Arguments& arguments) {
  const Parameters none("abs", arguments, {});
  require_defined(self);
  if (!self.is_number()) fail("bad operand type for abs(): '", type_name(self), "'");
  if (self.is(Kind::real)) return make_real(std::abs(self.real));
  return self.whole() < 0 ? negate(self) : make_int(self.whole());
}

/// The decimal of `digits` places nearest to `value`; of two, the even one.
double rounded(double value, int digits) {
  if (!std::isfinite(value) || digits > 323) return value;
  if (digits < 0) {
    const double unit = std::pow(10.0, -digits);
    return std::isfinite(unit) ? std::nearbyint(value / unit) * unit : 0.0 * value;
  }
  return parse_real(format_real(value, std::chars_format::fixed, digits));
}

Value round(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  const Parameters p("round", arguments, {"precision", "method"});
  require_defined(self);
  const std::string_view method = p[1] ? p.text(1) : "common";
  const std::int64_t precision = p.whole(0, 0);
  if (method != "common" && method != "ceil" && method != "floor") fail("round: method must be common, ceil or floor");
  if (!self.is_number()) fail("round: expected a number, found ", type_name(self));
  if (precision > 1000 || precision < -1000) fail("round: a precision beyond 1000 digits");
  const auto digits = static_cast<int>(precision);
  if (method == "common") {
    if (self.is(Kind::real)) return make_real(rounded(self.real, digits));
    return digits >= 0 ? make_int(self.whole()) : make_int(truncated(rounded(self.number(), digits)));
  }
  const Value unit = arithmetic(sandbox, Op::power, make_int(10), make_int(precision));
  const double scaled = arithmetic(sandbox, Op::multiply, self, unit).number();
  return make_real((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / unit.number());
}

constexpr std::array<NativeEntry, 4> table = {{{"int", to_int}, {"float", to_float}, {"abs", absolute}, {"round", round}}};

}  // namespace

std::span<const NativeEntry> number_filters() { return table; }

}  // namespace atom::engine::jinja
