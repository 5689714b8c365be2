#include "delta_net_rows.hpp"

namespace atom::cpu {

template struct DeltaNet<Avx512, float>;
template struct DeltaNet<Avx512, bf16>;

}  // namespace atom::cpu
