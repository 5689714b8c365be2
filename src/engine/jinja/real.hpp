#pragma once
// Real: decimal digits to double and back, whatever the locale.
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>
#include <string_view>

namespace atom::engine::jinja {

/// The value of a decimal number without a + sign; NaN for anything else; beyond the range of double, infinity or 0.
inline double parse_real(std::string_view digits) {
  double value = std::numeric_limits<double>::quiet_NaN();
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (end != digits.data() + digits.size()) return std::numeric_limits<double>::quiet_NaN();
  if (error != std::errc::result_out_of_range) return value;
  const std::size_t e = digits.find_first_of("eE");
  const bool tiny = e != digits.npos ? digits.substr(e + 1).starts_with('-') : digits.find('.') < 2;
  return std::copysign(tiny ? 0.0 : std::numeric_limits<double>::infinity(), digits.starts_with('-') ? -1.0 : 1.0);
}

/// As printf's %f, %e or %g (by `format`) with `precision` writes it.
inline std::string format_real(double value, std::chars_format format, int precision) {
  std::string digits(static_cast<std::size_t>(precision) + 350, '\0');  // the longest double has 309 digits before the point
  char* const end = digits.data() + digits.size();
  digits.resize(static_cast<std::size_t>(std::to_chars(digits.data(), end, value, format, precision).ptr - digits.data()));
  return digits;
}

}  // namespace atom::engine::jinja
