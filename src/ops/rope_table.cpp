#include "atom/ops/rope_table.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>

namespace atom::ops {
namespace {

using model::RopeConfig;

/// llama3: long wavelengths are stretched, short ones kept, those between blended.
double llama3(const RopeConfig& r, double f) {
  const double turns = r.original_max_position * f / (2 * std::numbers::pi);  // in the original context
  if (turns < r.low_freq_factor) return f / r.factor;
  if (turns > r.high_freq_factor) return f;
  const double keep = (turns - r.low_freq_factor) / (r.high_freq_factor - r.low_freq_factor);
  return (1 - keep) * f / r.factor + keep * f;
}

/// yarn: pairs below `low` are kept, pairs above `high` stretched, those between lie on a straight ramp.
double yarn(const RopeConfig& r, int i, double f) {
  const auto pair_with = [&](double turns) {  // in the original context
    return r.rotary_dim * std::log(r.original_max_position / (2 * std::numbers::pi * turns)) / (2 * std::log(r.theta));
  };
  double low = pair_with(r.beta_fast), high = pair_with(r.beta_slow);
  if (r.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, r.rotary_dim - 1.0);  // R - 1, though pairs end at R/2 - 1: the published definition
  if (low == high) high += 0.001;
  const double stretch = std::clamp((i - low) / (high - low), 0.0, 1.0);
  return f / r.factor * stretch + f * (1 - stretch);
}

}  // namespace

std::vector<float> inv_freq(const RopeConfig& r) {
  std::vector<float> out(static_cast<std::size_t>(r.rotary_dim / 2));
  for (int i = 0; i < r.rotary_dim / 2; ++i) {
    double f = std::pow(r.theta, -2.0 * i / r.rotary_dim);
    switch (r.kind) {
      case RopeConfig::Kind::standard: break;
      case RopeConfig::Kind::linear: f /= r.factor; break;
      case RopeConfig::Kind::llama3: f = llama3(r, f); break;
      case RopeConfig::Kind::yarn: f = yarn(r, i, f); break;
    }
    out[static_cast<std::size_t>(i)] = static_cast<float>(f);
  }
  return out;
}

float attention_scaling(const RopeConfig& r) {
  if (r.kind != RopeConfig::Kind::yarn) return 1;
  if (r.attention_factor != 0) return static_cast<float>(r.attention_factor);
  const auto g = [&](double m) { return r.factor <= 1 ? 1.0 : 0.1 * m * std::log(r.factor) + 1; };
  const bool both = r.mscale != 0 && r.mscale_all_dim != 0;
  return static_cast<float>(both ? g(r.mscale) / g(r.mscale_all_dim) : g(1));
}

void fill_rope_table(const RopeConfig& r, int positions, float* out) {
  const std::vector<float> frequencies = inv_freq(r);
  const std::size_t half = frequencies.size();
  const float scaling = attention_scaling(r);
  for (int p = 0; p < positions; ++p, out += 2 * half) {
    for (std::size_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(p) * frequencies[i];
      out[i] = std::cos(angle) * scaling;
      out[half + i] = std::sin(angle) * scaling;
    }
  }
}

}  // namespace atom::ops
