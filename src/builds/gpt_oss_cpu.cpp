#include "atom/model/gpt_oss.hpp"
#include "atom/ops/cpu.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_gpt_oss_cpu(engine::Registry& r) { add_heads<GptOss, Heads{64, false}, Cpu, Arch::gpt_oss>(r); }

}  // namespace atom::builds
