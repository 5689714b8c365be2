#include "activation_rows.hpp"

namespace atom::cpu {

template struct Activations<Avx2, float>;
template struct Activations<Avx2, bf16>;

}  // namespace atom::cpu
