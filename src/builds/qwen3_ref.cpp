#include "atom/model/qwen3.hpp"
#include "atom/ops/ref.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_qwen3_ref(engine::Registry& r) { add_network<Qwen3, Ref, Arch::qwen3>(r); }

}  // namespace atom::builds
