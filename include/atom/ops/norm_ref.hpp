#pragma once
// Reference: rmsnorm (all flags), gated_rmsnorm and layernorm.
#include <cmath>

#include "atom/core/backend.hpp"
#include "atom/ops/norm_op.hpp"
#include "atom/quant/codec.hpp"

namespace atom {

template <kernels::NormFlags F, quant::Scheme Q, class T> struct impl<kernels::rmsnorm<F, Q, T>, Ref> {
  using op = kernels::rmsnorm<F, Q, T>;
  static void run(Ref::stream, const typename op::args& a) noexcept {
    for (int r = 0; r < a.rows; ++r) {
      const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(r) * a.cols;
      const T* x = a.x ? a.x + static_cast<std::ptrdiff_t>(r) * a.ldx : nullptr;
      if constexpr (F.residual) {
        T* h = a.residual + at;
        for (int c = 0; x && c < a.cols; ++c) h[c] = T(static_cast<float>(h[c]) + static_cast<float>(x[c]));
        x = h;
      }
      double squares = 0;
      for (int c = 0; c < a.cols; ++c) squares += double{static_cast<float>(x[c])} * double{static_cast<float>(x[c])};
      const auto inverse = static_cast<float>(1 / std::sqrt(squares / a.cols + double{a.eps}));
      const auto normed = [&](int c) {
        const float h = static_cast<float>(x[c]) * inverse;
        return static_cast<float>(T(a.w[c] * (F.once ? h : static_cast<float>(T(h)))));
      };
      if constexpr (op::quantizes) {
        using codec = quant::codec<Q>;
        float top = 0;
        for (int c = 0; c < a.cols; ++c) top = std::fmax(top, std::fabs(normed(c)));
        a.scale[r] = top / codec::largest;
        for (int c = 0; c < a.cols; ++c) a.q[at + c] = codec::encode(normed(c), a.scale[r]);
      } else {
        const int width = F.padded ? a.width : a.cols;
        T* y = a.y + static_cast<std::ptrdiff_t>(r) * width;
        for (int c = 0; c < width; ++c) y[c] = c < a.cols ? T(normed(c)) : T(0.0f);
      }
    }
  }
};

template <class T> struct impl<kernels::gated_rmsnorm<T>, Ref> {
  static void run(Ref::stream, const typename kernels::gated_rmsnorm<T>::args& a) noexcept {
    for (int r = 0; r < a.rows; ++r)
      for (int h = 0; h < a.heads; ++h) {
        const std::ptrdiff_t at = (static_cast<std::ptrdiff_t>(r) * a.heads + h) * a.cols;
        const T* x = a.x + at;
        const T* z = a.z + static_cast<std::ptrdiff_t>(r) * a.ldz + static_cast<std::ptrdiff_t>(h) * a.cols;
        double squares = 0;
        for (int c = 0; c < a.cols; ++c) squares += double{static_cast<float>(x[c])} * double{static_cast<float>(x[c])};
        const auto inverse = static_cast<float>(1 / std::sqrt(squares / a.cols + double{a.eps}));
        for (int c = 0; c < a.cols; ++c) {
          const auto gate = static_cast<float>(z[c]);
          const auto weighed = static_cast<float>(T(a.w[c] * static_cast<float>(T(static_cast<float>(x[c]) * inverse))));
          a.y[at + c] = T(weighed * (gate / (1 + std::exp(-gate))));
        }
      }
  }
};

template <class T> struct impl<kernels::layernorm<T>, Ref> {
  static void run(Ref::stream, const typename kernels::layernorm<T>::args& a) noexcept {
    for (int r = 0; r < a.rows; ++r) {
      const T* x = a.x + static_cast<std::ptrdiff_t>(r) * a.cols;
      const auto at = [&](int c) { return double{static_cast<float>(x[c])}; };
      double mean = 0, variance = 0;
      for (int c = 0; c < a.cols; ++c) mean += at(c) / a.cols;
      for (int c = 0; c < a.cols; ++c) variance += (at(c) - mean) * (at(c) - mean) / a.cols;
      const double inverse = 1 / std::sqrt(variance + double{a.eps});
      for (int c = 0; c < a.cols; ++c) {
        const double y = (at(c) - mean) * inverse * double{a.w[c]} + (a.b ? double{a.b[c]} : 0.0);
        a.y[static_cast<std::ptrdiff_t>(r) * a.cols + c] = T(static_cast<float>(y));
      }
    }
  }
};

}  // namespace atom
