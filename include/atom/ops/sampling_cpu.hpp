#pragma once
// sample on the Cpu backend: declaration; defined in src/kernels/sampling.cpp.
#include "atom/core/backend.hpp"
#include "atom/ops/sampling_op.hpp"

namespace atom {

template <> struct impl<kernels::sample, Cpu> { static void run(Cpu::stream pool, const kernels::sample::args& a) noexcept; };

}  // namespace atom
