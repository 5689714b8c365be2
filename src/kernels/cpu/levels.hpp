#pragma once
// Instruction-set levels as types. A kernel family is a class template over one of them (Norms<Level, T>); its members are defined
// in *_rows.hpp and instantiated once per level, in a translation unit compiled for that level.

namespace atom::cpu {

struct Avx2 {};
struct Avx512 {};
struct Avx512Bf16 {};  // AVX-512 with bf16 conversions
struct Amx {};         // AVX-512 vectors beside tile registers

}  // namespace atom::cpu
