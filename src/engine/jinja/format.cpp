#include "format.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "natives.hpp"
#include "operators.hpp"
#include "print.hpp"
#include "real.hpp"
#include "unicode.hpp"

namespace atom::engine::jinja {
namespace {

constexpr int widest = 10'000;  // of a padded value, and digits after the point

struct Place {
  bool left = false, plus = false, space = false, zero = false, alternative = false;
  int width = 0, precision = -1;
  char type = 's';
};

int read_number(std::string_view& text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::invalid_argument) return 0;
  if (error != std::errc() || value > widest) fail("a width or precision above ", std::to_string(widest));
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

std::int64_t to_whole(const Value& v, char type) {
  if (v.is_whole()) return v.whole();
  const bool truncates = type == 'd' || type == 'i' || type == 'u';
  if (!truncates || !v.is(Kind::real) || !(std::abs(v.real) < 0x1p63))
    fail("%", std::string(1, type), " format: an integer is required, not ", type_name(v));
  return static_cast<std::int64_t>(v.real);
}

std::string digits_of(std::int64_t value, const Place& place) {
  const int base = place.type == 'x' || place.type == 'X' ? 16 : place.type == 'o' ? 8 : 10;
  const auto magnitude = value < 0 ? ~static_cast<std::uint64_t>(value) + 1 : static_cast<std::uint64_t>(value);
  char buffer[72];
  std::string digits(buffer, std::to_chars(buffer, buffer + sizeof buffer, magnitude, base).ptr);
  if (static_cast<int>(digits.size()) < place.precision)
    digits.insert(0, static_cast<std::size_t>(place.precision) - digits.size(), '0');
  if (place.alternative && base != 10) digits.insert(0, base == 16 ? "0x" : "0o");
  if (place.type == 'X') digits = upper(digits);
  return digits;
}

std::string digits_of(double value, const Place& place) {
  const char letter = static_cast<char>(place.type | 32);
  const auto format = letter == 'e'   ? std::chars_format::scientific
                      : letter == 'f' ? std::chars_format::fixed
                                      : std::chars_format::general;
  const std::string digits = format_real(value, format, place.precision < 0 ? 6 : place.precision);
  return place.type == letter ? digits : upper(digits);
}

void append(Sandbox& sandbox, std::string& out, const Value& v, const Place& place) {
  std::string text, sign;
  bool number = true;
  switch (place.type) {
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o': {
      require_defined(v);
      const std::int64_t value = to_whole(v, place.type);
      if (value < 0) sign = "-";
      text = digits_of(value, place);
      break;
    }
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
      require_defined(v);
      if (!v.is_number()) fail("must be real number, not ", type_name(v));
      if (std::signbit(v.number()) && !std::isnan(v.number())) sign = "-";
      text = digits_of(std::abs(v.number()), place);
      break;
    default:
      number = false;
      if (place.type == 'r') append_repr(sandbox, text, v);
      if (place.type == 's') append_str(sandbox, text, v);
      if (place.precision >= 0) text.resize(byte_offset(text, static_cast<std::size_t>(place.precision)));
  }
  if (number && sign.empty() && (place.plus || place.space)) sign = place.plus ? "+" : " ";
  const std::size_t length = sign.size() + code_points(text);
  const std::size_t missing = static_cast<std::size_t>(place.width) > length ? static_cast<std::size_t>(place.width) - length : 0;
  if (place.left) {
    out.append(sign).append(text).append(missing, ' ');
  } else if (place.zero && number) {
    out.append(sign).append(missing, '0').append(text);
  } else {
    out.append(missing, ' ').append(sign).append(text);
  }
  sandbox.check(out.size());
  sandbox.spend_on(text.size());
}

Value escaped_for(Sandbox& sandbox, const Value& format, const Value& v) {
  if (!format.is_markup() || v.is_number() || v.is_markup()) return v;
  return keep_text(sandbox, escape_html(to_text(sandbox, v)), Form::markup);
}

}  // namespace

Value percent_format(Sandbox& sandbox, const Value& format, const Value& values) {
  const bool tuple = values.is(Kind::list) && (values.form == Form::tuple || values.form == Form::group);
  const std::span<const Value> list = tuple ? values.list() : std::span(&values, 1);
  std::size_t used = 0;
  std::string out;
  for (std::string_view rest = format.text(); !rest.empty();) {
    const std::size_t plain = std::min(rest.find('%'), rest.size());
    out += rest.substr(0, plain);
    rest.remove_prefix(plain);
    if (rest.empty()) break;
    rest.remove_prefix(1);
    Place place;
    const Value* value = nullptr;
    if (rest.starts_with('(')) {
      const std::size_t close = rest.find(')');
      if (close == rest.npos || !values.is(Kind::dict)) fail("format requires a mapping");
      value = find(sandbox, values, make_text(rest.substr(1, close - 1)));
      if (!value) fail("no value is named '", rest.substr(1, close - 1), "'");
      rest.remove_prefix(close + 1);
    }
    for (; !rest.empty(); rest.remove_prefix(1)) {
      if (rest[0] == '-')
        place.left = true;
      else if (rest[0] == '+')
        place.plus = true;
      else if (rest[0] == ' ')
        place.space = true;
      else if (rest[0] == '0')
        place.zero = true;
      else if (rest[0] == '#')
        place.alternative = true;
      else
        break;
    }
    place.width = read_number(rest);
    if (rest.starts_with('.')) {
      rest.remove_prefix(1);
      place.precision = read_number(rest);
    }
    constexpr std::string_view types = "srdiuxXoeEfFgG";
    if (rest.starts_with('%')) {
      out += '%';
    } else if (rest.empty() || types.find(rest[0]) == types.npos) {
      fail("an unsupported or incomplete place in a text that is formatted by %");
    } else {
      place.type = rest[0];
      if (!value && used == list.size()) fail("not enough values for the places of a formatted text");
      append(sandbox, out, escaped_for(sandbox, format, value ? *value : list[used]), place);
      if (!value) ++used;
    }
    rest.remove_prefix(1);
  }
  const bool lenient = values.is(Kind::dict) || (values.is(Kind::list) && !tuple);
  if (used < list.size() && !lenient) fail("not all values were used by the places of a formatted text");
  return make_like(format, sandbox.keep(out));
}

Value brace_format(Sandbox& sandbox, const Value& self, const Arguments& arguments) {
  std::size_t automatic = 0;
  std::string out;
  for (std::string_view rest = self.text(); !rest.empty();) {
    const std::size_t plain = std::min(rest.find_first_of("{}"), rest.size());
    out += rest.substr(0, plain);
    rest.remove_prefix(plain);
    if (rest.empty()) break;
    if (rest.starts_with("{{") || rest.starts_with("}}")) {
      out += rest[0];
      rest.remove_prefix(2);
      continue;
    }
    const std::size_t close = rest.find('}');
    if (rest[0] == '}' || close == rest.npos) fail("format: a single ", rest.substr(0, 1));
    std::string_view field = rest.substr(1, close - 1), spec;
    rest.remove_prefix(close + 1);
    if (const std::size_t colon = field.find(':'); colon != field.npos) {
      spec = field.substr(colon + 1);
      field = field.substr(0, colon);
    }
    Place place;
    if (field.ends_with("!r") || field.ends_with("!s")) {
      place.type = field.back();
      field.remove_suffix(2);
    }
    const Value* value = nullptr;
    if (field.find_first_not_of("0123456789") == field.npos) {
      const std::size_t index = field.empty() ? automatic++ : static_cast<std::size_t>(read_number(field));
      if (index < arguments.positional.size()) value = &arguments.positional[index];
    } else {
      for (const Named& named : arguments.named) {
        if (named.name == field) value = &named.value;
      }
    }
    if (!value) fail("format: no value for the place {", field, "}");
    if (!spec.empty()) {
      place.left = !value->is_number() && place.type == 's';
      place.zero = spec.starts_with('0');
      place.width = read_number(spec);
      if (spec.starts_with('.')) {
        spec.remove_prefix(1);
        place.precision = read_number(spec);
      }
      constexpr std::string_view types = "sdxXoeEfFgG";
      if (spec.size() > 1 || (!spec.empty() && types.find(spec[0]) == types.npos))
        fail("format: the specification ", in_quotes(spec), " is not supported");
      if (!spec.empty()) place.type = spec[0];
      if (spec.empty() && value->is(Kind::integer)) place.type = 'd';
      if (spec.empty() && value->is(Kind::real) && place.precision >= 0) place.type = 'g';
    }
    append(sandbox, out, escaped_for(sandbox, self, *value), place);
  }
  return make_like(self, sandbox.keep(out));
}

}  // namespace atom::engine::jinja
