// refused: atom: experts are shared out over the tensor-parallel ranks: Parallel::ep is 1
#include "tiny.hpp"

struct build : tiny::good {
  static constexpr atom::model::ModelSpec spec{.arch = atom::model::Arch::qwen3_moe,
                                               .attn = {.heads = 4, .kv_heads = 4, .head_dim = 64, .qk_norm = true},
                                               .moe = atom::model::any_moe};
  static constexpr atom::model::Parallel parallel{.tp = 4, .ep = 2};
};
static_assert(atom::model::check<build>());
