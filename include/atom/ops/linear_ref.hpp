#pragma once
// Reference: linear, fused_linear and quantize. These loops are the specification; every other kernel is tested against them.
#include <algorithm>
#include <cmath>
#include <vector>

#include "atom/core/backend.hpp"
#include "atom/ops/activation_ref.hpp"
#include "atom/ops/linear_op.hpp"
#include "atom/ops/norm_ref.hpp"
#include "atom/ops/sampling_ref.hpp"
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

/// The launches that it stands for, one behind the other.
template <quant::Scheme Q, class T, class Tail> struct impl<kernels::fused_linear<Q, T, Tail>, Ref> {
  using op = kernels::fused_linear<Q, T, Tail>;
  using Y = typename op::output;
  static void run(Ref::stream stream, const typename op::args& a) noexcept {
    auto product = a.product;
    const auto size = [&](int cols) { return static_cast<std::size_t>(product.rows) * static_cast<std::size_t>(cols); };
    std::vector<T> x;
    std::vector<Y> y(size(product.out));
    if (a.norm_w) {
      x.resize(size(product.in));
      run_on<kernels::rmsnorm<kernels::NormFlags{}, quant::Keep, T>, Ref>(
          stream, {product.x, nullptr, a.norm_w, x.data(), nullptr, nullptr, product.rows, product.in, product.ldx, a.eps});
      product.x = x.data();
      product.ldx = product.in;
    }
    product.y = y.data();
    product.ldy = product.out;
    run_on<typename op::linear, Ref>(stream, product);
    finish(Tail{}, a.product, y);
    if constexpr (std::is_same_v<Tail, kernels::Best>)
      run_on<kernels::best_tokens, Ref>(stream, {y.data(), a.best, product.rows, product.out, product.out});
  }

 private:
  static Y* row(const auto& a, int r) { return a.y + static_cast<std::ptrdiff_t>(r) * a.ldy; }
  static void finish(kernels::Write, const auto& a, const std::vector<Y>& y) {
    for (int r = 0; r < a.rows; ++r) std::copy_n(y.begin() + static_cast<std::ptrdiff_t>(r) * a.out, a.out, row(a, r));
  }
  static void finish(kernels::Best, const auto& a, const std::vector<Y>& y) { finish(kernels::Write{}, a, y); }
  static void finish(kernels::Add, const auto& a, const std::vector<T>& y) {
    for (int r = 0; r < a.rows; ++r)
      for (int o = 0; o < a.out; ++o) {
        T& to = row(a, r)[o];
        to = T(static_cast<float>(to) + static_cast<float>(y[static_cast<std::size_t>(r * a.out + o)]));
      }
  }
  template <class A> static void finish(kernels::Gate<A>, const auto& a, const std::vector<T>& y) {
    for (int r = 0; r < a.rows; ++r)
      run_on<kernels::gate_mul<A, quant::Keep, T>, Ref>(
          {}, {y.data() + static_cast<std::ptrdiff_t>(r) * a.out, row(a, r), nullptr, nullptr, 1, a.out / 2, a.out});
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
