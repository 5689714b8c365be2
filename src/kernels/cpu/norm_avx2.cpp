#include "norm_rows.hpp"

namespace atom::cpu {

template struct Norms<Avx2, float>;
template struct Norms<Avx2, bf16>;

}  // namespace atom::cpu
