#include "atom/model/gpt_oss.hpp"
#include "atom/ops/ref.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_gpt_oss_ref(engine::Registry& r) { add_heads<GptOss, Heads{64, false}, Ref, Arch::gpt_oss>(r); }

}  // namespace atom::builds
