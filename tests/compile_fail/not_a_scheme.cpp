// refused: atom: Quants<...> takes quantization schemes
#include "tiny.hpp"

struct build : tiny::good {
  using quants = atom::model::Quants<atom::int8>;
};
static_assert(atom::model::check<build>());
