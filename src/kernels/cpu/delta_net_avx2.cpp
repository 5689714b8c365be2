#include "delta_net_rows.hpp"

namespace atom::cpu {

template struct DeltaNet<Avx2, float>;
template struct DeltaNet<Avx2, bf16>;

}  // namespace atom::cpu
