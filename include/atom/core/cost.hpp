#pragma once
// Cost: what one call of a kernel must move and compute. Every kernel key answers cost(args); benches, `atom inspect` and the
// dry run read it, and no benchmark computes its own.

namespace atom {

struct Cost {
  double bytes = 0;  ///< compulsory traffic: every operand once
  double flops = 0;  ///< multiply and add counted separately
  constexpr Cost& operator+=(const Cost& o) {
    bytes += o.bytes;
    flops += o.flops;
    return *this;
  }
};

}  // namespace atom
