#include "atom/model/llama.hpp"
#include "atom/model/qwen2.hpp"
#include "atom/ops/cpu.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_llama_cpu(engine::Registry& r) {
  add_family<Arch::llama, Llama, Cpu>(r);
  add_family<Arch::qwen2, Qwen2, Cpu>(r);
}

}  // namespace atom::builds
