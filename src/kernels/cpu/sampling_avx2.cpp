#include "sampling_rows.hpp"

namespace atom::cpu {

template struct Sampling<Avx2>;

}  // namespace atom::cpu
