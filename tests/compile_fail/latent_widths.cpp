// refused: the widths of latent attention size register arrays
#include "tiny.hpp"

struct build : tiny::good {
  static constexpr atom::model::ModelSpec spec{.arch = atom::model::Arch::deepseek_v3,
                                               .attn = {.head_dim = 192, .latent = {.rank = atom::dynamic, .rope = 64}}};
};
static_assert(atom::model::check<build>());
