#pragma once
// Which instruction-set level the Cpu backend's kernels use: decided once, at start, never per call site.
// One idea: levels are ordered; a kernel family has one translation unit per level it profits from and picks the highest one
// not above isa(). ATOM_CPU_ISA (or set_isa) forces a lower level, for tests and comparisons.
// To extend: add a level here, its flags in cmake/AtomTargets.cmake, and translation units where they pay.
#include <string_view>

namespace atom::cpu {

enum class Isa : unsigned char { avx2, avx512, avx512_bf16, amx };

std::string_view name_of(Isa isa) noexcept;

/// The highest level this machine and operating system offer; AMX is requested from the kernel here.
/// Throws atom::Error below AVX2 (with FMA and F16C).
Isa detect();

/// The level in force: detect(), lowered by ATOM_CPU_ISA=avx2|avx512|avx512_bf16|amx. First call decides.
Isa isa();

/// Forces a level (tests, --cpu-isa). Throws atom::Error when the machine lacks it. Not thread safe; call before kernels run.
void set_isa(Isa isa);
/// Same, by name.
void set_isa(std::string_view name);

}  // namespace atom::cpu
