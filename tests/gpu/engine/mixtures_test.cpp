// Mixtures of experts on a GPU of the emulator, through the executor, against logits that an independent implementation computed;
// those with latent attention are in latent_test.cpp.
#include "atom/model/glm4_moe.hpp"
#include "atom/model/gpt_oss.hpp"
#include "atom/model/mixtral.hpp"
#include "atom/model/qwen3_moe.hpp"
#include "atom/ops/gpu.hpp"

#include "builds/universal.hpp"
#include "emu_device.hpp"
#include "golden.hpp"

namespace atom::engine {
namespace {

const Registry& emulated() {
  static const Registry registry = [] {
    using model::Arch;
    Registry r;
    builds::add_heads<model::Mixtral, builds::Heads{64, false}, Emu<32>, Arch::mixtral>(r);
    builds::add_heads<model::Qwen3Moe, builds::Heads{128, true}, Emu<32>, Arch::qwen3_moe>(r);
    builds::add_heads<model::Glm4Moe, builds::Heads{128, true}, Emu<32>, Arch::glm4_moe>(r);
    builds::add_heads<model::GptOss, builds::Heads{64, false}, Emu<32>, Arch::gpt_oss>(r);
    return r;
  }();
  return registry;
}

class Mixture : public testing::TestWithParam<const char*> {};

TEST_P(Mixture, LogitsMatch) { test::expect_golden_logits(GetParam(), emulated()); }
INSTANTIATE_TEST_SUITE_P(Hf, Mixture, testing::Values("mixtral", "qwen3_moe", "glm4_moe", "gpt_oss"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace atom::engine
