#include "atom/model/deepseek_v2.hpp"
#include "atom/ops/cpu.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_deepseek_v2_cpu(engine::Registry& r) { add_latent_network<DeepseekV2, Cpu, Arch::deepseek_v2>(r); }

}  // namespace atom::builds
