// refused: atom: a mixture's groups must divide its experts
#include "tiny.hpp"

struct build : tiny::good {
  static constexpr atom::model::ModelSpec spec = [] {
    auto s = tiny::good_spec;
    s.moe = {.experts = 8, .top_k = 2, .d_ff = 64, .groups = 3};
    return s;
  }();
};
static_assert(atom::model::check<build>());
