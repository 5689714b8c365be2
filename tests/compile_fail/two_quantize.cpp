// refused: atom: RMSNorm<...>: at most one Quantize<Q> or PadTo<N>
#include "atom/ops/norm.hpp"

using Int8 = atom::ops::Quantize<atom::quant::PerToken<atom::int8>>;
atom::ops::RMSNorm<Int8, atom::ops::AddResidual, Int8> norm;
