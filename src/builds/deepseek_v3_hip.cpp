#include "atom/model/deepseek_v3.hpp"
#include "atom/ops/gpu.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_deepseek_v3_hip(engine::Registry& r) { add_latent_network<DeepseekV3, Hip, Arch::deepseek_v3>(r); }

}  // namespace atom::builds
