#pragma once
// Reference: linear and quantize. These loops are the specification; every other kernel is tested against them.
#include <cmath>

#include "atom/core/backend.hpp"
#include "atom/ops/linear_op.hpp"
#include "atom/quant/codec.hpp"

namespace atom {

template <quant::Scheme Q, class T, class Y, int Out, int In> struct impl<kernels::linear<Q, T, Y, Out, In>, Ref> {
  static void run(Ref::stream, const typename kernels::linear<Q, T, Y, Out, In>::args& a) noexcept {
    for (int r = 0; r < a.rows; ++r)
      for (int o = 0; o < a.out; ++o) {
        const auto* x = a.x + static_cast<std::ptrdiff_t>(r) * a.ldx;
        const auto* w = a.w + static_cast<std::ptrdiff_t>(o) * a.in;
        double sum = 0;
        for (int k = 0; k < a.in; ++k) {
          if constexpr (quant::QuantizesActivations<Q>)
            sum += static_cast<double>(x[k]) * static_cast<double>(w[k]);
          else
            sum += double{static_cast<float>(x[k])} * double{static_cast<float>(w[k])};
        }
        if constexpr (quant::Scaled<Q>) sum *= double{a.x_scale[r]} * double{a.w_scale[o]};
        if (a.bias) sum += double{a.bias[o]};
        a.y[static_cast<std::ptrdiff_t>(r) * a.ldy + o] = Y(static_cast<float>(sum));
      }
  }
};

template <quant::QuantizesActivations Q, class T> struct impl<kernels::quantize<Q, T>, Ref> {
  static void run(Ref::stream, const typename kernels::quantize<Q, T>::args& a) noexcept {
    using codec = quant::codec<Q>;
    for (int r = 0; r < a.rows; ++r) {
      const T* x = a.x + static_cast<std::ptrdiff_t>(r) * a.ldx;
      auto* q = a.q + static_cast<std::ptrdiff_t>(r) * a.cols;
      float top = 0;
      for (int c = 0; c < a.cols; ++c) top = std::fmax(top, std::fabs(static_cast<float>(x[c])));
      a.scale[r] = top / codec::largest;
      for (int c = 0; c < a.cols; ++c) q[c] = codec::encode(static_cast<float>(x[c]), a.scale[r]);
    }
  }
};

}  // namespace atom
