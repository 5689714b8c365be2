#include "atom/model/qwen3.hpp"
#include "atom/ops/gpu.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_qwen3_hip(engine::Registry& r) { add_network<Qwen3, Hip, Arch::qwen3>(r); }

}  // namespace atom::builds
