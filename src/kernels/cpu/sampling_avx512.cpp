#include "sampling_rows.hpp"

namespace atom::cpu {

template struct Sampling<Avx512>;

}  // namespace atom::cpu
