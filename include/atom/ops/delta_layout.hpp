#pragma once
// DeltaLayout: what a gated delta net carries from token to token of one sequence, in one layer.
// One idea: as KvLayout: a constexpr map that kernels, planner and tests share. First the convolution's last inputs,
// (taps - 1, channels), then every value head's state, (key_dim, value_dim); float, whatever activations are.
// To extend: another recurrence is another layout.
#include <cstddef>

namespace atom::kernels {

struct DeltaLayout {
  int key_heads, value_heads, key_dim, value_dim, taps;

  /// Of the convolution: queries and keys of all key heads, values of all value heads.
  [[nodiscard]] constexpr int channels() const { return 2 * key_heads * key_dim + value_heads * value_dim; }
  /// Where the value heads' states begin.
  [[nodiscard]] constexpr std::size_t heads_at() const { return lines(static_cast<std::size_t>(taps - 1), channels()); }
  [[nodiscard]] constexpr std::size_t floats() const {
    return heads_at() + lines(static_cast<std::size_t>(value_heads) * static_cast<std::size_t>(key_dim), value_dim);
  }

 private:
  static constexpr std::size_t lines(std::size_t rows, int cols) {  // whole ones of the processor's cache
    return (rows * static_cast<std::size_t>(cols) + 15) / 16 * 16;
  }
};

/// Of a rank's model::DeltaSpec.
template <class Spec> constexpr DeltaLayout delta_layout(const Spec& d) {
  return {d.key_heads, d.value_heads, d.key_dim, d.value_dim, d.taps};
}

}  // namespace atom::kernels
