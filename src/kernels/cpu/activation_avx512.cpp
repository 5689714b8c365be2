#include "activation_rows.hpp"

namespace atom::cpu {

template struct Activations<Avx512, float>;
template struct Activations<Avx512, bf16>;

}  // namespace atom::cpu
