// refused: atom: without a mixture of experts, Parallel::ep is 1
#include "tiny.hpp"

struct build : tiny::good {
  static constexpr atom::model::Parallel parallel{.tp = 2, .ep = 2};
};
static_assert(atom::model::check<build>());
