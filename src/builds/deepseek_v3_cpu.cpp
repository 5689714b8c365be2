#include "atom/model/deepseek_v3.hpp"
#include "atom/ops/cpu.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_deepseek_v3_cpu(engine::Registry& r) { add_latent_network<DeepseekV3, Cpu, Arch::deepseek_v3>(r); }

}  // namespace atom::builds
