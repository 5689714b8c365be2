#include "atom/model/qwen3.hpp"
#include "atom/ops/cpu.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_qwen3_cpu(engine::Registry& r) { add_family<Arch::qwen3, Qwen3, Cpu>(r); }

}  // namespace atom::builds
