#pragma once
// What becomes of a product's sums, on a device: kernels::Write, Add, Gate and Best.
#include "atom/ops/linear_op.hpp"

#include "best.hpp"
#include "gate.hpp"

namespace atom::gpu {

template <class Tail> inline constexpr int halves = 1;  // of the outputs, that become one
template <class A> inline constexpr int halves<kernels::Gate<A>> = 2;
template <class Tail> inline constexpr bool finds_best = std::is_same_v<Tail, kernels::Best>;

/// An element of y, of which total(half) is the sum with its bias, and `before` what it held, where that counts.
template <class Y, class Total> ATOM_DEVICE Y ended(kernels::Write, Total total, float) { return Y(total(0)); }
template <class Y, class Total> ATOM_DEVICE Y ended(kernels::Best, Total total, float) { return Y(total(0)); }
template <class Y, class Total> ATOM_DEVICE Y ended(kernels::Add, Total total, float before) {
  return Y(before + static_cast<float>(Y(total(0))));
}
template <class Y, class A, class Total> ATOM_DEVICE Y ended(kernels::Gate<A>, Total total, float) {
  return Y(gated<Y>(A{}, static_cast<float>(Y(total(0))), static_cast<float>(Y(total(1)))));
}

}  // namespace atom::gpu
