#pragma once
// The matrix multiplication: y = x · Wᵀ (+ bias), and the step that quantises its input.
// One idea: the key carries what decides the code (scheme, activation and output types); sizes stay run-time numbers unless a
// backend asks for constants (Out, In).
// To extend: specialise atom::impl<kernels::linear<YourScheme, T, Y>, YourBackend>; `layout()` beside it if you want one.
#include <cstdint>

#include "atom/core/cost.hpp"
#include "atom/core/run.hpp"
#include "atom/core/tensor.hpp"
#include "atom/quant/scheme.hpp"
#include "atom/quant/weight_layout.hpp"

namespace atom::kernels {

template <quant::Scheme Q, class T, class Y = T, int Out = dynamic, int In = dynamic> struct linear {
  using input = quant::input_t<Q, T>;
  struct args {
    const input* x;               // (rows, in), row stride ldx
    const float* x_scale;         // (rows), or null when the scheme leaves activations alone
    const typename Q::weight* w;  // (out, in) row-major, or the kernel's own layout()
    const float* w_scale;         // (out), or null when the scheme has no scales
    const float* bias;            // (out), or null
    Y* y;                         // (rows, out), row stride ldy
    int rows, out, in, ldx, ldy;
  };
  static constexpr Name name() {
    Name n{"linear<", Q::name(), ",", type_name<T>};
    if constexpr (!std::is_same_v<T, Y>) {
      n += ",";
      n += type_name<Y>;
    }
    n += ">";
    return n;
  }
  static constexpr Cost cost(const args& a) {
    const double m = a.rows, n = a.out, k = a.in;
    return {n * k * sizeof(typename Q::weight) + m * k * sizeof(input) + m * n * sizeof(Y) + (quant::Scaled<Q> ? 4 * (n + m) : 0),
            2 * m * n * k};
  }
};

// What becomes of a product's sums:
struct Write {};                    // y
struct Add {};                      // y += T(sum), rounded again: a residual
template <class A> struct Gate {};  // y = A of the first and the second half of the outputs, both rounded
struct Best {};                     // y, in float; and each row's best output joins `best`, as best_tokens does it

/// A product with what surrounds it, in one pass over the weights: x is normalised first, as rmsnorm does it, where there is
/// norm_w, and the sums end as Tail says. A kernel for it may be for some sizes alone: impl::takes(args) says whether it is for
/// these, and the launches that it stands for are always right.
template <quant::Scheme Q, class T, class Tail> struct fused_linear {
  static_assert(!quant::QuantizesActivations<Q>, "atom: fused_linear: what quantises activations does so in the norm in front");
  using output = std::conditional_t<std::is_same_v<Tail, Best>, float, T>;
  using linear = kernels::linear<Q, T, output>;
  struct args {
    typename linear::args product;  // y: (rows, out), or (rows, out / 2) with Gate
    const float* norm_w = nullptr;  // (in), or null: x is multiplied as it is
    float eps = 0;
    std::uint64_t* best = nullptr;  // (rows), with Best
  };
  static constexpr Name name() {
    Name n{std::is_same_v<Tail, Write>  ? "norm_linear<"
           : std::is_same_v<Tail, Add>  ? "add_linear<"
           : std::is_same_v<Tail, Best> ? "best_linear<"
                                        : "gated_linear<",
           Q::name(), ","};
    n += type_name<T>;
    n += ">";
    return n;
  }
  static constexpr Cost cost(const args& a) { return linear::cost(a.product); }
};

/// Activations to Q's storage, one scale group at a time.
template <quant::QuantizesActivations Q, class T> struct quantize {
  struct args {
    const T* x;          // (rows, cols), row stride ldx
    typename Q::act* q;  // (rows, cols)
    float* scale;        // (rows)
    int rows, cols, ldx;
  };
  static constexpr Name name() { return {"quantize<", Q::name(), ",", type_name<T>, ">"}; }
  static constexpr Cost cost(const args& a) {
    const double n = double(a.rows) * a.cols;
    return {n * (sizeof(T) + sizeof(typename Q::act)) + 4.0 * a.rows, 3 * n};
  }
};

}  // namespace atom::kernels
