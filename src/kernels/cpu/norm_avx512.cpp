#include "norm_rows.hpp"

namespace atom::cpu {

template struct Norms<Avx512, float>;
template struct Norms<Avx512, bf16>;

}  // namespace atom::cpu
