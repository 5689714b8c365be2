#pragma once
// A rival as a backend: everything as on Cpu, but bf16 matrix products by Eigen in float. Nothing of atom is edited: that is
// what the door is for.
#include <Eigen/Core>

#include "atom/engine/device.hpp"
#include "atom/ops/cpu.hpp"

namespace atom {

struct EigenCpu : Cpu {};

template <class Op> struct impl<Op, EigenCpu> : impl<Op, Cpu> {};

template <class Y> struct impl<kernels::linear<quant::No, bf16, Y>, EigenCpu> {
  using op = kernels::linear<quant::No, bf16, Y>;
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

  static void run(ThreadPool*, const typename op::args& a) noexcept {
    Matrix x(a.rows, a.in);
    for (int r = 0; r < a.rows; ++r)
      for (int k = 0; k < a.in; ++k) x(r, k) = a.x[static_cast<std::ptrdiff_t>(r) * a.ldx + k];
    const Eigen::Map<const Matrix> w(reinterpret_cast<const float*>(a.w), a.out, a.in);
    Matrix y(a.rows, a.out);
    y.noalias() = x * w.transpose();
    for (int r = 0; r < a.rows; ++r)
      for (int o = 0; o < a.out; ++o) a.y[static_cast<std::ptrdiff_t>(r) * a.ldy + o] = Y(y(r, o) + (a.bias ? a.bias[o] : 0));
  }
  /// Float, row-major, widened once at load: Eigen's best case.
  static const quant::WeightLayout& layout() {
    static constexpr quant::WeightLayout wide{
        [](int out, int in) { return static_cast<std::size_t>(out) * static_cast<std::size_t>(in) * sizeof(float); },
        [](void* target, int, int in, const quant::WeightRows& rows) {
          for (int r = 0; r < rows.count; ++r)
            for (int k = 0; k < in; ++k)
              static_cast<float*>(target)[static_cast<std::ptrdiff_t>(rows.first + r) * in + k] =
                  static_cast<const bf16*>(rows.data)[r * rows.stride + k];
        },
        1};
    return wide;
  }
};

namespace engine {
template <> inline const DeviceKind& device_kind<EigenCpu>() {
  static const DeviceKind kind = [] {
    DeviceKind k = device_kind<Cpu>();
    k.backend = "eigen";
    return k;
  }();
  return kind;
}
}  // namespace engine

}  // namespace atom
