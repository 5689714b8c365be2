// refused: fix it in the build's spec (64, 128), even in a universal build
#include "tiny.hpp"

struct build : tiny::good {
  static constexpr atom::model::ModelSpec spec{.arch = atom::model::Arch::qwen3, .attn = {.heads = 4, .kv_heads = 2}};
};
static_assert(atom::model::check<build>());
