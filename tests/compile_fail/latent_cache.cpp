// refused: a latent cache holds one row for all heads, of plain numbers, so kv must be bf16 or float
#include "tiny.hpp"

struct build : tiny::good {
  static constexpr atom::model::ModelSpec spec{
      .arch = atom::model::Arch::deepseek_v3,
      .attn = {.heads = 4, .head_dim = 192, .latent = {.rank = 512, .rope = 64, .nope = 128, .value = 128}}};
  using kv = atom::quant::PerToken<atom::int8>;
};
static_assert(atom::model::check<build>());
