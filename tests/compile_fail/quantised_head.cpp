// refused: atom: an lm_head with quantised activations is not supported
#include "tiny.hpp"

struct build : tiny::good {
  using quants = atom::model::Quants<atom::quant::No, atom::quant::No, atom::quant::PerToken<atom::int8>>;
};
static_assert(atom::model::check<build>());
