#include "atom/model/glm4_moe.hpp"
#include "atom/ops/cpu.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_glm4_moe_cpu(engine::Registry& r) {
  add_heads<Glm4Moe, Heads{128, true}, Cpu, Arch::glm4_moe>(r);
  add_heads<Glm4Moe, Heads{128, false}, Cpu, Arch::glm4_moe>(r);
}

}  // namespace atom::builds
