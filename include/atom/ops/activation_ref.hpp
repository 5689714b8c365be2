#pragma once
// Reference: gate_mul and sigmoid_gate.
#include <cmath>

#include "atom/core/backend.hpp"
#include "atom/ops/activation_op.hpp"
#include "atom/quant/codec.hpp"

namespace atom {

template <class A, quant::Scheme Q, class T> struct impl<kernels::gate_mul<A, Q, T>, Ref> {
  using op = kernels::gate_mul<A, Q, T>;
  static void run(Ref::stream, const typename op::args& a) noexcept {
    for (int r = 0; r < a.rows; ++r) {
      const T* gate = a.gate_up + static_cast<std::ptrdiff_t>(r) * a.ldx;
      const T* up = gate + a.cols;
      const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(r) * a.cols;
      const auto value = [&](int c) {
        return static_cast<float>(T(A::template of<T>(static_cast<float>(gate[c]), static_cast<float>(up[c]))));
      };
      if constexpr (op::quantizes) {
        using codec = quant::codec<Q>;
        float top = 0;
        for (int c = 0; c < a.cols; ++c) top = std::fmax(top, std::fabs(value(c)));
        a.scale[r] = top / codec::largest;
        for (int c = 0; c < a.cols; ++c) a.q[at + c] = codec::encode(value(c), a.scale[r]);
      } else {
        for (int c = 0; c < a.cols; ++c) a.y[at + c] = T(value(c));
      }
    }
  }
};

template <class T> struct impl<kernels::sigmoid_gate<T>, Ref> {
  static void run(Ref::stream, const typename kernels::sigmoid_gate<T>::args& a) noexcept {
    const int each = a.cols / a.gates;
    for (int r = 0; r < a.rows; ++r) {
      T* x = a.x + static_cast<std::ptrdiff_t>(r) * a.ldx;
      const T* gate = a.gate + static_cast<std::ptrdiff_t>(r) * a.ldg;
      for (int c = 0; c < a.cols; ++c) {
        const auto open = static_cast<float>(T(1 / (1 + std::exp(-static_cast<float>(gate[c / each])))));
        x[c] = T(static_cast<float>(x[c]) * open);
      }
    }
  }
};

}  // namespace atom
