#include "atom/model/qwen3_moe.hpp"
#include "atom/ops/gpu.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_qwen3_moe_hip(engine::Registry& r) { add_network<Qwen3Moe, Hip, Arch::qwen3_moe>(r); }

}  // namespace atom::builds
