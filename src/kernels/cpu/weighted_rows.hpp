#pragma once
// The sum that ends a mixture of experts, of one row: for rows that lie here, and for those that other ranks answered.
#include <algorithm>

namespace atom::cpu {

/// y = sum over k < count of weight[k] * row(k), plus `plus` (cols) where not null: in float, in this order, rounded once.
template <class T, class Row> void weighted_sum(Row row, const float* weight, int count, const T* plus, T* y, int cols) noexcept {
  constexpr int block = 256;  // columns whose sums stay in registers and L1
  for (int c = 0; c < cols; c += block) {
    const int n = std::min(block, cols - c);
    float sum[block] = {};
    for (int k = 0; k < count; ++k) {
      const T* x = row(k) + c;
      for (int i = 0; i < n; ++i) sum[i] += weight[k] * static_cast<float>(x[i]);
    }
    if (plus)
      for (int i = 0; i < n; ++i) sum[i] += static_cast<float>(plus[c + i]);
    for (int i = 0; i < n; ++i) y[c + i] = T(sum[i]);
  }
}

}  // namespace atom::cpu
