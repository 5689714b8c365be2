#include "atom/model/deepseek_v2.hpp"
#include "atom/ops/gpu.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_deepseek_v2_hip(engine::Registry& r) { add_latent_network<DeepseekV2, Hip, Arch::deepseek_v2>(r); }

}  // namespace atom::builds
