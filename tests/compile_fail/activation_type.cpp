// refused: atom: activations are float or bf16
#include "tiny.hpp"

struct build : tiny::good {
  using act = double;
};
static_assert(atom::model::check<build>());
