#include "atom/model/qwen3_next.hpp"
#include "atom/ops/cpu.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_qwen3_next_cpu(engine::Registry& r) { add_heads<Qwen3Next, Heads{256, true}, Cpu, Arch::qwen3_next>(r); }

}  // namespace atom::builds
