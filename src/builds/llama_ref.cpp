#include "atom/model/llama.hpp"
#include "atom/model/qwen2.hpp"
#include "atom/ops/ref.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_llama_ref(engine::Registry& r) {
  static_assert(std::is_same_v<Qwen2<universal<Arch::qwen2, Heads{64, false}, Ref, bf16, quant::No, quant::No>>,
                               Llama<universal<Arch::qwen2, Heads{64, false}, Ref, bf16, quant::No, quant::No>>>,
                "one build serves both");
  add_network<Llama, Ref, Arch::llama, Arch::qwen2>(r);
}

}  // namespace atom::builds
