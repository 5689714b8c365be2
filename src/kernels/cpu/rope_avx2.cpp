#include "rope_rows.hpp"

namespace atom::cpu {

template struct Rope<Avx2, float>;
template struct Rope<Avx2, bf16>;

}  // namespace atom::cpu
