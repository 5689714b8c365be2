#include "atom/engine/universal.hpp"

#include "universal.hpp"

namespace atom::engine {

const Registry& universal_builds() {
  static const Registry registry = [] {
    Registry r;
    builds::add_llama_cpu(r);
    builds::add_llama_ref(r);
    builds::add_qwen3_cpu(r);
    builds::add_qwen3_ref(r);
    return r;
  }();
  return registry;
}

}  // namespace atom::engine
