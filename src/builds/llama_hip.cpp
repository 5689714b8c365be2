#include "atom/model/llama.hpp"
#include "atom/ops/gpu.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_llama_hip(engine::Registry& r) { add_network<Llama, Hip, Arch::llama, Arch::qwen2>(r); }

}  // namespace atom::builds
