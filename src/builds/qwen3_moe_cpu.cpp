#include "atom/model/qwen3_moe.hpp"
#include "atom/ops/cpu.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_qwen3_moe_cpu(engine::Registry& r) { add_network<Qwen3Moe, Cpu, Arch::qwen3_moe>(r); }

}  // namespace atom::builds
