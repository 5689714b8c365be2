#pragma once
// The middle of a gated MLP: y = act(gate) * up; optionally quantised for the projection behind it. And the sigmoid gate of what is
// there already.
// One idea: which function that is, is a type with the arithmetic of one element, rounding included.
// To extend: an empty type like Gelu runs on Ref as it is, and on Cpu with a line in src/kernels/activation.cpp.
#include <cmath>

#include "atom/core/cost.hpp"
#include "atom/core/run.hpp"
#include "atom/quant/scheme.hpp"

namespace atom::activation {

/// T(silu(gate)) * up, silu(z) = z / (1 + exp(-z)).
struct Silu {
  template <class T> static float of(float gate, float up) { return static_cast<float>(T(gate / (1 + std::exp(-gate)))) * up; }
  static constexpr Name name() { return {"silu"}; }
};
/// T(gelu(gate)) * up, gelu(z) = z (1 + erf(z / sqrt 2)) / 2.
struct Gelu {
  template <class T> static float of(float gate, float up) {
    return static_cast<float>(T(gate / 2 * (1 + std::erf(gate * 0.70710678f)))) * up;
  }
  static constexpr Name name() { return {"gelu"}; }
};
/// GPT-OSS: g = min(gate, 7) in g sigmoid(1.702 g) * (clamp(up, -7, 7) + 1).
struct ClampedSwiglu {
  static constexpr float limit = 7, slope = 1.702f;
  template <class T> static float of(float gate, float up) {
    const float g = gate > limit ? limit : gate, u = up > limit ? limit : up < -limit ? -limit : up;
    return g / (1 + std::exp(-slope * g)) * (u + 1);
  }
  static constexpr Name name() { return {"clamped_swiglu"}; }
};

}  // namespace atom::activation

namespace atom::kernels {

/// y = A of gate and up, rounded. Q = quant::Keep writes y; a quantising scheme writes q and scale.
template <class A, quant::Scheme Q, class T> struct gate_mul {
  static constexpr bool quantizes = quant::QuantizesActivations<Q>;
  struct args {
    const T* gate_up;    // (rows, 2 * cols): gate, then up; row stride ldx
    T* y;                // (rows, cols), or null when quantising
    typename Q::act* q;  // (rows, cols), or null
    float* scale;        // (rows), or null
    int rows, cols, ldx;
  };
  static constexpr Name name() {
    Name n{A::name(), "_mul<", type_name<T>};
    if constexpr (quantizes) {
      n += ",";
      n += Q::name();
    }
    n += ">";
    return n;
  }
  static constexpr Cost cost(const args& a) {
    const double n = double(a.rows) * a.cols;
    return {n * (2 * sizeof(T) + (quantizes ? 1 : sizeof(T))), 6 * n};
  }
};
/// x = T(x * T(sigmoid(gate))), where each of a row's gates is that of cols / gates neighbouring columns.
template <class T> struct sigmoid_gate {
  struct args {
    T* x;           // (rows, cols), row stride ldx
    const T* gate;  // (rows, gates), row stride ldg
    int rows, cols, gates, ldx, ldg;
  };
  static constexpr Name name() { return {"sigmoid_gate<", type_name<T>, ">"}; }
  static constexpr Cost cost(const args& a) {
    const double n = double(a.rows) * a.cols;
    return {(2 * n + double(a.rows) * a.gates) * sizeof(T), n + 4.0 * a.rows * a.gates};
  }
};
template <quant::Scheme Q, class T> using silu_mul = gate_mul<activation::Silu, Q, T>;

}  // namespace atom::kernels
