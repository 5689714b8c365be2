// strftime_now: the local time, in the words of C's strftime and the C locale.
#include <clocale>
#include <ctime>

#include "interpreter.hpp"

namespace atom::engine::jinja {
namespace {

std::tm broken_down(const std::optional<LocalTime>& clock) {
  std::tm tm{};
  if (!clock) {
    const std::time_t now = std::time(nullptr);
    ::localtime_r(&now, &tm);
    return tm;
  }
  const LocalTime& t = *clock;
  const bool valid = t.year >= 1 && t.year <= 9999 && t.month >= 1 && t.month <= 12 && t.day >= 1 && t.day <= 31 && t.hour >= 0 &&
                     t.hour < 24 && t.minute >= 0 && t.minute < 60 && t.second >= 0 && t.second < 60;
  if (!valid) fail("strftime_now: the time that was set is none");
  tm.tm_year = t.year - 1900;
  tm.tm_mon = t.month - 1;
  tm.tm_mday = t.day;
  tm.tm_hour = t.hour;
  tm.tm_min = t.minute;
  tm.tm_sec = t.second;
  tm.tm_isdst = -1;
  ::timegm(&tm);  // for the day of the week and of the year
  return tm;
}

}  // namespace

std::string format_time(std::string_view format, const std::optional<LocalTime>& clock) {
  static const locale_t c_locale = ::newlocale(LC_ALL_MASK, "C", nullptr);
  const std::tm tm = broken_down(clock);
  constexpr std::size_t longest = 1000;
  if (format.size() > longest) fail("strftime_now: a format of more than ", std::to_string(longest), " bytes");
  std::string out;
  for (std::size_t at = 0; at < format.size();) {
    if (format[at] != '%') {
      out += format[at++];
      continue;
    }
    constexpr std::string_view flags = "-_0^#", directives = "aAbBcCdDeFgGhHIjklmMnprRsSStTuUVwWxXyYPzZf%";
    std::size_t end = at + 1;
    while (end < format.size() && flags.find(format[end]) != flags.npos) ++end;
    if (end == format.size() || directives.find(format[end]) == directives.npos)
      fail("strftime_now: unknown directive in ", in_quotes(format));
    if (format[end] == 'f') {
      out += "000000";
    } else if (format[end] != 'z' && format[end] != 'Z') {  // the time has no zone
      char buffer[128];
      const std::string directive(format.substr(at, end + 1 - at));
      if (directive.size() > 4) fail("strftime_now: too many flags in ", in_quotes(format));
      out.append(buffer, ::strftime_l(buffer, sizeof buffer, directive.c_str(), &tm, c_locale));
    }
    at = end + 1;
  }
  return out;
}

}  // namespace atom::engine::jinja
