// refused: atom: RMSNorm<...>: at most one Quantize<Q> or PadTo<N>: what quantises needs no padding
#include "atom/ops/norm.hpp"

atom::ops::RMSNorm<atom::ops::AddResidual, atom::ops::Quantize<atom::quant::PerToken<atom::int8>>, atom::ops::PadTo<256>> norm;
