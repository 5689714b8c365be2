// refused: atom: the embedding table is looked up, not multiplied
#include "tiny.hpp"

struct build : tiny::good {
  using quants = atom::model::Quants<atom::quant::No, atom::quant::No, atom::quant::No, atom::int8>;
};
static_assert(atom::model::check<build>());
