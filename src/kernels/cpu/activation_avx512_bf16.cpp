#include "activation_rows.hpp"

namespace atom::cpu {

template struct Activations<Avx512Bf16, float>;
template struct Activations<Avx512Bf16, bf16>;

}  // namespace atom::cpu
