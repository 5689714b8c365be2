#include "linear_eigen.hpp"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"  // gcc 12's own _mm512_undefined_ps()
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <Eigen/Core>

namespace atom::bench {

void eigen_linear(const float* x, const float* w, float* y, int m, int n, int k) {
  using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::Map<const Rows> xs(x, m, k), ws(w, n, k);
  Eigen::Map<Rows> ys(y, m, n);
  if (m == 1)
    ys.row(0).transpose().noalias() = ws * xs.row(0).transpose();
  else
    ys.noalias() = xs * ws.transpose();
}

}  // namespace atom::bench
