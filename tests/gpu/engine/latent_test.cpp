// Latent attention, and the layer that drafts, on a GPU of the emulator, through the executor and the engine: against logits and
// drafts that an independent implementation computed, and answers with drafts against answers without.
#include "atom/engine/engine.hpp"
#include "atom/model/deepseek_v3.hpp"
#include "atom/ops/gpu.hpp"

#include "builds/universal.hpp"
#include "drafter.hpp"
#include "emu_device.hpp"

namespace atom::engine {
namespace {

const Registry& emulated() {
  static const Registry registry = [] {
    using model::Arch;
    Registry r;
    constexpr model::LatentSpec full{.rank = 512, .rope = 64, .nope = 128, .value = 128},
        low{.rank = 512, .rope = 64, .nope = 128, .value = 128, .q_rank = dynamic};
    builds::add_heads<model::DeepseekV2, builds::Heads{192, false, full}, Emu<32>, Arch::deepseek_v2>(r);
    builds::add_heads<model::DeepseekV3, builds::Heads{192, false, low}, Emu<32>, Arch::deepseek_v3>(r);
    return r;
  }();
  return registry;
}

class Latent : public testing::TestWithParam<const char*> {};
TEST_P(Latent, LogitsMatch) { test::expect_golden_logits(GetParam(), emulated()); }
INSTANTIATE_TEST_SUITE_P(Hf, Latent, testing::Values("deepseek_v2", "deepseek_v3"),
                         [](const auto& test) { return std::string(test.param); });

const std::string demo = std::string(ATOM_DEMO_MODEL) + "/../mtp-demo";

TEST(DeviceDrafts, AreThoseComputedElsewhere) {
  const SafeTensors golden(demo + "/golden.safetensors");
  auto text = test::ids(golden, "greedy_0");
  text.resize(14);
  const auto want = test::ids(golden, "draft_0");
  const auto vocab = static_cast<std::ptrdiff_t>(read_config(demo).spec.vocab);
  test::Drafter d(test::options(demo, "emu", DType::bf16, 1), text, emulated());
  const auto logits = d.draft(0, d.rows() - 1, d.identity());
  int same = 0;
  for (int r = 0; r + 1 < d.rows(); ++r) {
    const auto row = logits.begin() + r * vocab;
    same += std::max_element(row, row + vocab) - row == want[static_cast<std::size_t>(r)];
  }
  EXPECT_GE(same, d.rows() - 2) << "of " << d.rows() - 1 << "; bf16 may turn one that was close";
}

TEST(DeviceDrafts, LeaveAnswersAsTheyAre) {
  const std::string dir = test::dir_of("deepseek_v3");
  const auto text = test::ids(SafeTensors(dir + "/golden.safetensors"), "input_ids");
  const Prompt prompt = std::vector(text.begin(), text.begin() + 3);
  std::vector<int> want;
  for (const int drafts : {0, 1}) {
    EngineConfig c{.max_num_seqs = 1, .max_num_batched_tokens = 4};
    if (drafts > 0) c.speculative_config = {.method = "mtp", .model = {}, .num_speculative_tokens = drafts};
    ExecutorOptions o = test::options(dir, "emu", DType::bf16, 1, c.max_num_batched_tokens);
    o.max_seqs = c.max_num_seqs;
    o.max_logits = logit_rows(c);
    o.draft_layers = draft_layers(c.speculative_config);
    LLMEngine engine(std::make_unique<Executor>(o, emulated()), std::nullopt, c);
    SamplingParams params;
    params.temperature = 0;
    params.max_tokens = 3;
    params.ignore_eos = true;
    const auto got = engine.generate(std::span(&prompt, 1), params).front().token_ids;
    if (want.empty()) want = got;
    EXPECT_EQ(got, want);
    EXPECT_EQ(engine.stats().speculation.drafted() > 0, drafts > 0);
    EXPECT_EQ(engine.stats().blocks_used, 0);
  }
}

}  // namespace
}  // namespace atom::engine
