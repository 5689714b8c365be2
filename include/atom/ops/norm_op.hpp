#pragma once
// RMSNorm (plain, gated) and LayerNorm keys. rmsnorm's flags say what else happens in the same pass over the row.
// One idea: flags are canonical, so RMSNorm<A, B> and RMSNorm<B, A> share one kernel.
#include "atom/core/cost.hpp"
#include "atom/core/run.hpp"
#include "atom/quant/scheme.hpp"

namespace atom::kernels {

struct NormFlags {
  bool residual = false;  // residual += x first, then normalise residual
  bool once = false;      // y = T(w * h * rsqrt(mean(h^2) + eps)): rounded once   (GPT-OSS)
  bool padded = false;    // y's rows are longer than x's, with zeros behind
  bool operator==(const NormFlags&) const = default;
};

/// y = T(w * T(h * rsqrt(mean(h^2) + eps))) with h = x, or h = residual += x.   (most models: round, then weigh)
/// Q = quant::Keep writes y; a quantising scheme writes q and scale instead.
template <NormFlags F, quant::Scheme Q, class T> struct rmsnorm {
  static constexpr bool quantizes = quant::QuantizesActivations<Q>;
  static_assert(!(quantizes && F.padded), "atom: rmsnorm: rows are padded for a kernel that takes plain activations");
  struct args {
    const T* x;          // (rows, cols), row stride ldx; may be null with F.residual: nothing to add yet
    T* residual;         // (rows, cols), or null without F.residual
    const float* w;      // (cols)
    T* y;                // (rows, cols), with F.padded (rows, width); or null when quantising
    typename Q::act* q;  // (rows, cols), or null
    float* scale;        // (rows), or null
    int rows, cols, ldx;
    float eps;
    int width = 0;  // at least cols, with F.padded
  };
  static constexpr Name name() {
    Name n{"rmsnorm<", type_name<T>};
    if (F.residual) n += ",residual";
    if (F.once) n += ",once";
    if (F.padded) n += ",padded";
    if constexpr (quantizes) {
      n += ",";
      n += Q::name();
    }
    n += ">";
    return n;
  }
  static constexpr Cost cost(const args& a) {
    const double n = double(a.rows) * a.cols;
    const double passes = F.residual ? 3 : 1;  // x; and the residual, read and written
    const double zeros = F.padded ? double(a.rows) * (a.width - a.cols) * sizeof(T) : 0;
    return {n * (passes * sizeof(T) + (quantizes ? 1 : sizeof(T))) + zeros + 4.0 * a.cols, 5 * n};
  }
};

/// y = T(T(w * T(x * rsqrt(mean(x^2) + eps))) * silu(z)), head by head of a row.   Gated DeltaNet, https://arxiv.org/abs/2412.06464
template <class T> struct gated_rmsnorm {
  struct args {
    const T* x;      // (rows, heads * cols)
    const T* z;      // (rows, heads * cols), row stride ldz
    const float* w;  // (cols)
    T* y;            // (rows, heads * cols)
    int rows, heads, cols, ldz;
    float eps;
  };
  static constexpr Name name() { return {"gated_rmsnorm<", type_name<T>, ">"}; }
  static constexpr Cost cost(const args& a) {
    const double n = double(a.rows) * a.heads * a.cols;
    return {3 * n * sizeof(T) + 4.0 * a.cols, 10 * n};
  }
};

/// y = w * (x - mean) * rsqrt(var + eps) + b.
template <class T> struct layernorm {
  struct args {
    const T* x;      // (rows, cols)
    const float* w;  // (cols)
    const float* b;  // (cols), or null
    T* y;            // (rows, cols)
    int rows, cols;
    float eps;
  };
  static constexpr Name name() { return {"layernorm<", type_name<T>, ">"}; }
  static constexpr Cost cost(const args& a) {
    const double n = double(a.rows) * a.cols;
    return {2 * n * sizeof(T) + 8.0 * a.cols, 7 * n};
  }
};

}  // namespace atom::kernels
