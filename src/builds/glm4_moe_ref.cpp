#include "atom/model/glm4_moe.hpp"
#include "atom/ops/ref.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_glm4_moe_ref(engine::Registry& r) {
  add_heads<Glm4Moe, Heads{128, true}, Ref, Arch::glm4_moe>(r);
  add_heads<Glm4Moe, Heads{128, false}, Ref, Arch::glm4_moe>(r);
}

}  // namespace atom::builds
