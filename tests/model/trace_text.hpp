#pragma once
// Launches of a dry run as text: one line each, and layers that repeat are written once.
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "atom/dry.hpp"

namespace atom::model::traced {

inline std::string line(const Dry::Launch& launch, const char* indent) {
  const std::string name(std::string_view(launch.name));
  char text[160];
  std::snprintf(text, sizeof text, "%s%-*s %12.0f bytes %14.0f flops\n", indent, 44 - static_cast<int>(std::strlen(indent)),
                name.c_str(), launch.cost.bytes, launch.cost.flops);
  return text;
}

inline std::string spell_out(const std::vector<Dry::Launch>& launches) {
  const auto same = [&](std::size_t a, std::size_t b, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i)
      if (line(launches[a + i], "") != line(launches[b + i], "")) return false;
    return true;
  };
  std::string out;
  for (std::size_t at = 0; at < launches.size();) {
    std::size_t period = 1, times = 1;
    for (std::size_t p = 1; p <= 48; ++p) {
      std::size_t n = 1;
      while (at + (n + 1) * p <= launches.size() && same(at, at + n * p, p)) ++n;
      if ((n - 1) * p > (times - 1) * period) period = p, times = n;
    }
    if (times > 1) out += std::to_string(times) + " times:\n";
    for (std::size_t i = 0; i < period; ++i) out += line(launches[at + i], times > 1 ? "  " : "");
    at += period * times;
  }
  return out;
}

}  // namespace atom::model::traced
