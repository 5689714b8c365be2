#pragma once
// Which instruction-set level the Cpu backend's kernels use: decided once, at start, never per call site.
// One idea: levels are ordered; a kernel family has one translation unit per level it profits from and picks the highest one
// not above isa(). ATOM_CPU_ISA (or set_isa) forces a lower level, for tests and comparisons.
// To extend: add a level here, its flags in cmake/AtomTargets.cmake, and translation units where they pay.
#include <cstdint>
#include <string_view>

namespace atom::cpu {

enum class Isa : unsigned char { avx2, avx512, avx512_bf16, amx };

std::string_view name_of(Isa isa) noexcept;

/// What CPUID and XGETBV say of a machine. Tests make up others.
struct Processor {
  std::uint32_t leaf1_ecx = 0, leaf7_ebx = 0, leaf7_ecx = 0, leaf7_edx = 0, leaf7_1_eax = 0;
  std::uint64_t saved_state = 0;  // XCR0: register files that the operating system saves
};

/// The highest level of a machine whose operating system grants AMX's tiles, or does not.
/// Throws atom::Error below AVX2 (with FMA, F16C and BMI2).
Isa level_of(const Processor& processor, bool tiles);
/// The level called `name`; `where` opens the messages. Throws atom::Error when it is unknown or above `best`.
Isa at_most(Isa best, std::string_view name, std::string_view where);

/// level_of this machine; AMX is requested from the kernel here.
Isa detect();

/// The level in force: detect(), lowered by ATOM_CPU_ISA=avx2|avx512|avx512_bf16|amx. First call decides.
Isa isa();

/// Forces a level (tests, --cpu-isa). Throws atom::Error when the machine lacks it. Not thread safe; call before kernels run.
void set_isa(Isa isa);
/// Same, by name.
void set_isa(std::string_view name);

}  // namespace atom::cpu
