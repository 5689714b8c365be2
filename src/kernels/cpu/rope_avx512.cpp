#include "rope_rows.hpp"

namespace atom::cpu {

template struct Rope<Avx512, float>;
template struct Rope<Avx512, bf16>;

}  // namespace atom::cpu
