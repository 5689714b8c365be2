#include "atom/model/glm4_moe.hpp"
#include "atom/ops/gpu.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_glm4_moe_hip(engine::Registry& r) {
  add_heads<Glm4Moe, Heads{128, true}, Hip, Arch::glm4_moe>(r);
  add_heads<Glm4Moe, Heads{128, false}, Hip, Arch::glm4_moe>(r);
}

}  // namespace atom::builds
