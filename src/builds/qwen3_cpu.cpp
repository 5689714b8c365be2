#include "atom/model/qwen3.hpp"
#include "atom/ops/cpu.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_qwen3_cpu(engine::Registry& r) { add_network<Qwen3, Cpu, Arch::qwen3>(r); }

}  // namespace atom::builds
