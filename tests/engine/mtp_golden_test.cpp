// Drafts of a checkpoint's own layer: what the layer says against answers computed elsewhere in float32, and that no answer shows
// that somebody drafted, whatever shares the steps.
#include "atom/engine/engine.hpp"

#include "drafter.hpp"

namespace atom::test {
namespace {

const std::string demo = std::string(ATOM_DEMO_MODEL) + "/../mtp-demo";
constexpr int given = 12;  // tokens of the golden texts

TEST(MtpDemo, ModelAndLayerSayWhatWasComputedElsewhere) {
  const SafeTensors golden(demo + "/golden.safetensors");
  for (const auto& [backend, texts, most] : {std::tuple{"ref", 1, 30}, {"cpu", 3, 1000}})
    for (int i = 0; i < texts; ++i) {
      SCOPED_TRACE(std::string(backend) + ", text " + std::to_string(i));
      auto text = ids(golden, "greedy_" + std::to_string(i)), drafts = ids(golden, "draft_" + std::to_string(i));
      const int n = std::min(most, static_cast<int>(text.size())), vocab = read_config(demo).spec.vocab;
      text.resize(static_cast<std::size_t>(n)), drafts.resize(static_cast<std::size_t>(n) - 1);
      const auto likeliest = [&](const std::vector<float>& logits) {
        std::vector<int> best;
        for (auto row = logits.begin(); row != logits.end(); row += vocab)
          best.push_back(static_cast<int>(std::max_element(row, row + vocab) - row));
        return best;
      };
      const auto model = likeliest(all_logits(options(demo, backend, DType::f32, 1), text));
      EXPECT_TRUE(std::equal(model.begin() + given - 1, model.end() - 1, text.begin() + given));
      Drafter d(options(demo, backend, DType::f32, 1), text, universal_builds());
      EXPECT_EQ(likeliest(d.draft(0, n - 1, d.identity())), drafts);
    }
}

struct Model {
  std::string dir;
  std::vector<Prompt> prompts;
  double least;  // share of first drafts that are right, in greedy answers
};

/// Beginnings of one text, whole pages of it shared, and one that goes on as another.
std::vector<Prompt> prompts_of(const std::vector<int>& text, const std::vector<int>& other) {
  std::vector<Prompt> all;
  for (const std::size_t n : {1, 33, 32})
    all.emplace_back(std::vector(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(n)));
  std::vector<int> mixed(text.begin(), text.begin() + 32);
  mixed.insert(mixed.end(), other.begin(), other.begin() + 5);
  all.emplace_back(mixed);
  return all;
}

// demo is a DeepSeek-V3, whose drafts are often right; those of glm4_moe, of random weights, by chance.
class MtpAnswers : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (GetParam() == std::string("demo")) {
      const SafeTensors golden(demo + "/golden.safetensors");
      model = {demo, prompts_of(ids(golden, "greedy_0"), ids(golden, "greedy_1")), 0.6};
    } else {
      const std::string dir = dir_of(GetParam());
      const auto text = ids(SafeTensors(dir + "/golden.safetensors"), "input_ids");
      model = {dir, prompts_of(text, {text.rbegin(), text.rend()}), 0};  // random weights: chance
    }
  }
  LLMEngine load(int drafts, EngineConfig c = {}, int tp = 1) const {
    if (c.max_num_seqs == 0) c.max_num_seqs = 8;
    if (c.max_num_batched_tokens == 0) c.max_num_batched_tokens = 128;
    if (drafts > 0) c.speculative_config = {.method = "mtp", .model = {}, .num_speculative_tokens = drafts};
    ExecutorOptions o = options(model.dir, "cpu", DType::f32, tp, c.max_num_batched_tokens);
    o.max_seqs = c.max_num_seqs;
    o.max_logits = std::min(c.max_num_batched_tokens, c.max_num_seqs * (1 + drafts));
    o.draft_layers = draft_layers(c.speculative_config);
    o.context_tokens = c.num_kvcache_blocks > 0 ? c.num_kvcache_blocks * kernels::page_tokens : 2048;
    return {std::make_unique<Executor>(o, universal_builds()), std::nullopt, c};
  }
  static SamplingParams params(double temperature) {
    SamplingParams p;
    p.temperature = temperature;
    p.seed = 3;
    p.max_tokens = 12;
    p.ignore_eos = true;
    return p;
  }
  Model model;
};

TEST_P(MtpAnswers, AreTheSameTokensWhateverSharesTheSteps) {
  struct Setting {
    double temperature;
    int tp;
    std::vector<std::vector<int>> alone{};
  };
  for (Setting with : {Setting{0, 1}, {0.9, 1}, {0, 2}}) {
    {
      LLMEngine engine = load(0, {.enable_prefix_caching = false}, with.tp);
      for (const Prompt& p : model.prompts)
        with.alone.push_back(engine.generate(std::span(&p, 1), params(with.temperature)).front().token_ids);
    }
    const auto same = [&](const char* what, int drafts, EngineConfig config = {}, int rounds = 1) {
      SCOPED_TRACE(testing::Message() << what << ", k " << drafts << ", temperature " << with.temperature << ", tp " << with.tp);
      LLMEngine engine = load(drafts, config, with.tp);
      for (int round = 0; round < rounds; ++round) {
        const auto outputs = engine.generate(model.prompts, params(with.temperature));
        for (std::size_t i = 0; i < outputs.size(); ++i) EXPECT_EQ(outputs[i].token_ids, with.alone[i]) << "prompt " << i;
      }
      const EngineStats s = engine.stats();
      EXPECT_EQ(s.blocks_used, 0);
      EXPECT_GT(s.speculation.drafted(), 10u);
      return s;
    };
    if (with.temperature == 0) {
      EXPECT_GE(same("all at once", 3, {}).speculation.acceptance_at(0), model.least);
    }
    if (with.tp > 1) continue;
    EXPECT_GT(same("preempted", 4, {.max_model_len = 64, .num_kvcache_blocks = 5}).preemptions, 0u);
    if (with.temperature > 0) continue;
    same("prompts apart", 2, {.mixed_batches = false});
    same("chunks of a few tokens", 1, {.max_num_seqs = 3, .max_num_batched_tokens = 7});
    EXPECT_GT(same("one at a time, from the cache", 2, {.max_num_seqs = 1}, 2).tokens_from_cache, 60u);
  }
}

// Pages from the prefix cache draft as well as pages of one's own: the layer's rows are in them.
TEST_P(MtpAnswers, DraftAsWellFromTheCache) {
  LLMEngine engine = load(2, {.max_num_seqs = 1});
  const std::span<const Prompt> one(&model.prompts[1], 1);
  std::vector<SpeculationStats> rounds;
  for (int round = 0; round < 2; ++round) {
    const SpeculationStats before = engine.stats().speculation;
    engine.generate(one, params(0));
    rounds.push_back(engine.stats().speculation);
    rounds.back() -= before;
  }
  EXPECT_EQ(engine.stats().tokens_from_cache, 32u);
  EXPECT_EQ(rounds[0].distribution, rounds[1].distribution);
  EXPECT_EQ(rounds[0].offered, rounds[1].offered);
}

TEST_P(MtpAnswers, MemoryPlanHasTheLayer) {
  const LLMEngine without = load(0), with = load(1);  // nothing throws: the plan is what is allocated
  auto o = options(model.dir, "cpu", DType::bf16, 1);
  const Executor plain(o, universal_builds());
  o.draft_layers = 1;
  const Executor drafting(o, universal_builds());
  const auto layers = static_cast<std::size_t>(plain.config().spec.layers);
  EXPECT_EQ(drafting.memory().kv_cache * layers, plain.memory().kv_cache * (layers + 1));
  EXPECT_GT(drafting.memory().weights + drafting.memory().weights_in_file, plain.memory().weights + plain.memory().weights_in_file);
  EXPECT_GT(drafting.memory().activations, plain.memory().activations);
  EXPECT_GT(drafting.parameters(), plain.parameters());
}

INSTANTIATE_TEST_SUITE_P(Models, MtpAnswers, testing::Values("demo", "glm4_moe"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace atom::test
