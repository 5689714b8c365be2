// refused: atom: RMSNorm<...> accepts AddResidual and Quantize<Q>
#include "atom/ops/norm.hpp"

atom::ops::RMSNorm<int> norm;
