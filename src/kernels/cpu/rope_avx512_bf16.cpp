#include "rope_rows.hpp"

namespace atom::cpu {

template struct Rope<Avx512Bf16, float>;
template struct Rope<Avx512Bf16, bf16>;

}  // namespace atom::cpu
