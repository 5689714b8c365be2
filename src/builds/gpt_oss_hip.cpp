#include "atom/model/gpt_oss.hpp"
#include "atom/ops/gpu.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_gpt_oss_hip(engine::Registry& r) { add_heads<GptOss, Heads{64, false}, Hip, Arch::gpt_oss>(r); }

}  // namespace atom::builds
