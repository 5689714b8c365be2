// refused: atom: RMSNorm<...> accepts AddResidual, RoundOnce, ZeroCentred, PadTo<N>, Quantize<Q> and For<Linear>
#include "atom/ops/norm.hpp"

atom::ops::RMSNorm<int> norm;
