#pragma once
// Products of many rows through the vendor's library: cuBLASLt, hipBLASLt. Host code; no vendor's header or type is seen from here.
// One idea: the library is looked for when a program sets up, never linked: where it is missing, atom's own tiles serve. Its choice
// of an algorithm is asked for once per shape and range of rows, when a shape is first seen; a step allocates and searches nothing.
// To extend: another type of operand is another field of Product and of the plans' key (src/gpu/gemm.cpp).
#include <string>

#include "atom/core/backend.hpp"
#include "atom/core/dtype.hpp"

namespace atom::gpu {

enum class Gemm : unsigned char { automatic, own, vendor };

/// Decides for this process, at set-up. `automatic`: the vendor's where it loads. Takes gemm_workspace() bytes of the device.
/// Throws atom::Error where `vendor` is asked for and does not load.
void use_gemm(Gemm which);
/// Bytes of the device that the library works in; 0: own kernels alone.
std::size_t gemm_workspace(Gemm which);
/// "cuBLASLt 13.1", or why there is none.
std::string gemm_library();

/// y(rows, out) = x(rows, in) · w(out, in)ᵀ, plus what y holds where `adds`; sums in float, rounded once. Strides are in elements.
struct Product {
  const bf16* x;  // (rows, in), row stride ldx
  const bf16* w;  // (out, in)
  void* y;        // (rows, out) of bf16, or float where float_out; row stride ldy
  int rows, out, in, ldx, ldy;
  bool float_out, adds;
};
/// Whether the library is in use and serves this product.
bool vendor_serves(const Product& p) noexcept;
/// False: nothing was launched, though the library serves it.
bool vendor_gemm(Hip::stream stream, const Product& p) noexcept;

}  // namespace atom::gpu
