#include "atom/model/qwen3_moe.hpp"
#include "atom/ops/ref.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_qwen3_moe_ref(engine::Registry& r) { add_network<Qwen3Moe, Ref, Arch::qwen3_moe>(r); }

}  // namespace atom::builds
