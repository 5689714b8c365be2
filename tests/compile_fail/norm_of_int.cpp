// refused: atom: RMSNorm<...> accepts AddResidual, RoundOnce, ZeroCentred, PadTo<N> and Quantize<Q>
#include "atom/ops/norm.hpp"

atom::ops::RMSNorm<int> norm;
