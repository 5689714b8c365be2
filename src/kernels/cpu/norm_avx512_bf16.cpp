#include "norm_rows.hpp"

namespace atom::cpu {

template struct Norms<Avx512Bf16, float>;
template struct Norms<Avx512Bf16, bf16>;

}  // namespace atom::cpu
