#pragma once
// Eigen's float product as a rival. In a unit of its own, because Eigen is only as good as the flags it is compiled with.

namespace atom::bench {

/// y = x · Wᵀ: x (m, k), w (n, k), y (m, n), row-major.
void eigen_linear(const float* x, const float* w, float* y, int m, int n, int k);

}  // namespace atom::bench
