#include "atom/model/qwen3_next.hpp"
#include "atom/ops/ref.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_qwen3_next_ref(engine::Registry& r) { add_heads<Qwen3Next, Heads{256, true}, Ref, Arch::qwen3_next>(r); }

}  // namespace atom::builds
