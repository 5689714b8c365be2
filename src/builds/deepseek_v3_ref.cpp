#include "atom/model/deepseek_v3.hpp"
#include "atom/ops/ref.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_deepseek_v3_ref(engine::Registry& r) { add_latent_network<DeepseekV3, Ref, Arch::deepseek_v3>(r); }

}  // namespace atom::builds
