#pragma once
// SpeculationStats: how good the drafts were. One idea: two histograms, of which every rate is a quotient. To extend: another
// quotient.
#include <array>
#include <cstddef>
#include <cstdint>

#include "atom/engine/speculative_config.hpp"

namespace atom::engine {

struct SpeculationStats {
  static constexpr std::size_t most = SpeculativeConfig::most_tokens;
  bool enabled = false;
  std::array<std::uint64_t, most + 1> distribution{};  // forward passes of a running answer by the drafts accepted
  std::array<std::uint64_t, most + 1> offered{};       // the same by the drafts verified

  void count(std::size_t drafts, std::size_t accepted) noexcept {
    ++distribution[accepted];
    ++offered[drafts];
  }
  /// Every answer in every step counts as one, with drafts or without.
  [[nodiscard]] std::uint64_t forwards() const noexcept { return at_least(distribution, 0); }
  [[nodiscard]] std::uint64_t drafted() const noexcept { return weighted(offered); }
  [[nodiscard]] std::uint64_t accepted() const noexcept { return weighted(distribution); }
  [[nodiscard]] double acceptance_rate() const noexcept { return ratio(accepted(), drafted()); }
  /// Of the drafts at this place, 0 the first: which share was accepted.
  [[nodiscard]] double acceptance_at(std::size_t position) const noexcept {
    return ratio(at_least(distribution, position + 1), at_least(offered, position + 1));
  }
  [[nodiscard]] double tokens_per_forward() const noexcept { return forwards() ? 1 + ratio(accepted(), forwards()) : 0; }

  SpeculationStats& operator-=(const SpeculationStats& earlier) noexcept {
    for (std::size_t i = 0; i <= most; ++i) distribution[i] -= earlier.distribution[i], offered[i] -= earlier.offered[i];
    return *this;
  }

 private:
  using Histogram = std::array<std::uint64_t, most + 1>;
  static double ratio(std::uint64_t a, std::uint64_t b) noexcept { return b ? static_cast<double>(a) / static_cast<double>(b) : 0; }
  static std::uint64_t at_least(const Histogram& h, std::size_t low) noexcept {
    std::uint64_t sum = 0;
    for (std::size_t i = low; i <= most; ++i) sum += h[i];
    return sum;
  }
  static std::uint64_t weighted(const Histogram& h) noexcept {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i <= most; ++i) sum += i * h[i];
    return sum;
  }
};

}  // namespace atom::engine
