#include "atom/model/qwen3.hpp"
#include "atom/ops/ref.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_qwen3_ref(engine::Registry& r) { add_family<Arch::qwen3, Qwen3, Ref>(r); }

}  // namespace atom::builds
