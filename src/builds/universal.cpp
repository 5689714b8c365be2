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
    builds::add_mixtral_cpu(r);
    builds::add_mixtral_ref(r);
    builds::add_qwen3_moe_cpu(r);
    builds::add_qwen3_moe_ref(r);
    builds::add_glm4_moe_cpu(r);
    builds::add_glm4_moe_ref(r);
    builds::add_deepseek_v2_cpu(r);
    builds::add_deepseek_v2_ref(r);
    builds::add_deepseek_v3_cpu(r);
    builds::add_deepseek_v3_ref(r);
    builds::add_gpt_oss_cpu(r);
    builds::add_gpt_oss_ref(r);
    builds::add_qwen3_next_cpu(r);
    builds::add_qwen3_next_ref(r);
#if defined(ATOM_GPU_CUDA) || defined(ATOM_GPU_HIP)
    builds::add_llama_hip(r);
    builds::add_qwen3_hip(r);
    builds::add_mixtral_hip(r);
    builds::add_qwen3_moe_hip(r);
    builds::add_glm4_moe_hip(r);
    builds::add_deepseek_v2_hip(r);
    builds::add_deepseek_v3_hip(r);
    builds::add_gpt_oss_hip(r);
#endif
    return r;
  }();
  return registry;
}

}  // namespace atom::engine
