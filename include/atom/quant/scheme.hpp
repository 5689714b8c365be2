#pragma once
// A quantization scheme is an empty type: what weights and activations are stored as, and which elements share a scale.
// One idea: everything that depends on the scheme asks the type; there is no run-time switch on a scheme inside the program.
// To extend: write such a struct, a codec (atom/quant/codec.hpp), and kernels where you want them fast. docs/adding_a_scheme.md
#include <concepts>
#include <type_traits>

#include "atom/core/dtype.hpp"
#include "atom/core/name.hpp"

namespace atom::quant {

/// The elements that share one scale: rows x cols; 0 means the whole axis.
struct Group {
  int rows, cols;
  bool operator==(const Group&) const = default;
};
inline constexpr Group per_row{1, 0};

/// Weights as stored in the checkpoint, no scales; activations stay what the build computes in.
template <class W> struct NoAs {
  using weight = W;
  using act = void;
  using scale = void;
  static constexpr Name name() { return {type_name<W>}; }
};
using No = NoAs<bf16>;

/// One scale per output row of the weight and one per token of the activation, chosen at run time: absmax / largest value.
template <class T> struct PerToken {
  using weight = T;
  using act = T;
  using scale = float;
  static constexpr Group w = per_row, a = per_row;
  static constexpr Name name() { return {"PerToken<", type_name<T>, ">"}; }
};

template <class Q>
concept Scheme = requires {
  typename Q::weight;
  typename Q::act;
  typename Q::scale;
  { Q::name() } -> std::convertible_to<Name>;
};
template <class Q>
concept Scaled = Scheme<Q> && !std::same_as<typename Q::scale, void>;
/// The multiplication takes quantised activations: a norm or activation in front of it can quantise in the same pass.
template <class Q>
concept QuantizesActivations = Scaled<Q> && !std::same_as<typename Q::act, void>;

/// What a Linear<Q> of a build that computes in T reads: T itself, or the scheme's activation type.
template <class Q, class T> struct input { using type = T; };
template <QuantizesActivations Q, class T> struct input<Q, T> { using type = typename Q::act; };
template <class Q, class T> using input_t = typename input<Q, T>::type;

/// Stand-in where a fused op quantises nothing.
struct Keep {
  using weight = void;
  using act = void;
  using scale = void;
  static constexpr Name name() { return {"keep"}; }
};

}  // namespace atom::quant
