// refused: atom: attention heads must divide by tensor-parallel size
#include "tiny.hpp"

struct build : tiny::good {
  static constexpr atom::model::Parallel parallel{.tp = 3};
};
static_assert(atom::model::check<build>());
