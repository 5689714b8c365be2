#include "atom/model/llama.hpp"
#include "atom/model/qwen2.hpp"
#include "atom/ops/ref.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_llama_ref(engine::Registry& r) {
  add_family<Arch::llama, Llama, Ref>(r);
  add_family<Arch::qwen2, Qwen2, Ref>(r);
}

}  // namespace atom::builds
