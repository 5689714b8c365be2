// Mixtures of experts, with latent attention and without, on a GPU of the emulator, through the executor, against logits that an
// independent implementation computed.
#include "atom/model/deepseek_v3.hpp"
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

// The V2 of the golden is narrower than any that was published.
struct narrow {
  static constexpr model::ModelSpec spec = test::watched_deepseek_v2::spec;
  static constexpr model::Parallel parallel{.tp = 1};
  using backend = Emu<32>;
  using act = bf16;
  using kv = bf16;
  using quants = model::Quants<quant::No>;
};

const Registry& emulated() {
  static const Registry registry = [] {
    using model::Arch;
    Registry r;
    builds::add_heads<model::Mixtral, builds::Heads{64, false}, Emu<32>, Arch::mixtral>(r);
    builds::add_heads<model::Qwen3Moe, builds::Heads{128, true}, Emu<32>, Arch::qwen3_moe>(r);
    builds::add_heads<model::Glm4Moe, builds::Heads{128, true}, Emu<32>, Arch::glm4_moe>(r);
    constexpr model::LatentSpec published{.rank = 512, .rope = 64, .nope = 128, .value = 128, .q_rank = dynamic};
    builds::add_heads<model::DeepseekV3, builds::Heads{192, false, published}, Emu<32>, Arch::deepseek_v3>(r);
    r.add(variant<narrow, model::DeepseekV2>("narrow"));
    builds::add_heads<model::GptOss, builds::Heads{64, false}, Emu<32>, Arch::gpt_oss>(r);
    return r;
  }();
  return registry;
}

class Mixture : public testing::TestWithParam<const char*> {};

TEST_P(Mixture, LogitsMatch) {
  const std::string dir = test::dir_of(GetParam());
  const SafeTensors golden(dir + "/golden.safetensors");
  const auto ids = test::ids(golden, "input_ids");
  auto o = test::options(dir, "emu", DType::bf16, 1, 40);  // two steps
  auto got = test::all_logits(o, ids, emulated()), want = test::floats(golden, "logits");
  test::keep_sure_rows(dir, ids, 0.02f, got, want);
  EXPECT_LE(test::difference(got, want).relative, 2e-2);
}
INSTANTIATE_TEST_SUITE_P(Hf, Mixture, testing::Values("mixtral", "qwen3_moe", "glm4_moe", "gpt_oss", "deepseek_v2", "deepseek_v3"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace atom::engine
