// resolve(): settings of every kind become what one model runs with, or a sentence.
#include <algorithm>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "atom/core/error.hpp"
#include "atom/engine/executor.hpp"
#include "atom/engine/settings.hpp"
#include "atom/engine/system_memory.hpp"
#include "atom/engine/universal.hpp"

#include "temp_dir.hpp"

namespace atom::engine {
namespace {

const std::string demo = ATOM_DEMO_MODEL;
using Ids = std::vector<int>;

const Registry& universal() {
  static const Registry builds = universal_builds();
  return builds;
}

// The demo model has 2048 positions, head_dim 64 and BF16 weights.
EngineArgs demo_args() {
  EngineArgs args;
  args.model = demo;
  args.threads = 1;
  return args;
}
/// Universal builds that say they were made for the demo model.
Registry made_for_demo() {
  static const model::ModelSpec spec = read_config(demo).spec;
  Registry builds;
  for (Variant v : universal().variants()) {
    if (v.spec->arch != spec.arch || v.spec->attn.head_dim != spec.attn.head_dim) continue;
    v.spec = &spec;
    v.tp = 1;
    v.name = "demo_" + v.name;
    builds.add(v);
  }
  return builds;
}

TEST(Resolve, FillsEverythingIn) {
  const Config c = resolve(demo_args(), universal());
  EXPECT_EQ(c.compilation_config.level, CompilationLevel::NO_COMPILATION);
  EXPECT_EQ(c.compilation_config.cudagraph_mode, CUDAGraphMode::NONE);
  EXPECT_TRUE(c.graph_bs.empty());
  EXPECT_TRUE(c.warnings.empty());
  EXPECT_EQ(c.kv_cache_dtype, "bf16");
  EXPECT_EQ(c.torch_dtype, DType::bf16);
  EXPECT_EQ(c.max_model_len, std::min(c.hf_config.numbers.max_position, 8192));
  EXPECT_EQ(c.num_kvcache_blocks, 16 * ((c.max_model_len + 15) / 16));
  EXPECT_EQ(c.eos_token_ids, c.generation_config.eos_token_ids);
  EXPECT_EQ(c.parallel_config.world_size_across_dp(), 1);
  EXPECT_LE(c.memory_limit, usable_memory() / 10 * 10);
  EXPECT_GT(c.memory_limit, 0u);
  const ExecutorOptions o = executor_options(c);
  EXPECT_EQ(o.context_tokens, c.num_kvcache_blocks * 16);
  EXPECT_EQ(o.max_seqs, 16);
  EXPECT_EQ(o.max_rows, 512);
}

TEST(Resolve, LevelsAndGraphModesNeedWhatOffersThem) {
  const auto with = [](auto change) {
    EngineArgs args = demo_args();
    change(args);
    return args;
  };
  const auto level = [&](int n) { return with([n](EngineArgs& a) { a.compilation_config.level = n; }); };
  const Registry made = made_for_demo();
  EXPECT_EQ(resolve(level(0), universal()).compilation_config.level, 0);
  for (const int n : {1, 2})
    test::expect_error([&] { resolve(level(n), universal()); },
                       "level: " + std::to_string(n) + " needs a program made for this model: atom build --model DIR -o PROGRAM");
  EXPECT_EQ(resolve(level(-1), made).compilation_config.level, CompilationLevel::DYNAMO_ONCE);
  for (const int n : {0, 1, 2}) EXPECT_EQ(resolve(level(n), made).compilation_config.level, n);
  EXPECT_EQ(resolve(with([](EngineArgs& a) { a.enforce_eager = true; }), made).compilation_config.level, 0);
  for (const Registry* builds : {&universal(), &made})
    test::expect_error([&] { resolve(level(3), *builds); }, "level: 3 needs device graphs, and so a device back end");
  for (const auto mode : std::initializer_list<CUDAGraphMode>{CUDAGraphMode::PIECEWISE, CUDAGraphMode::FULL,
                                                              CUDAGraphMode::FULL_DECODE_ONLY, CUDAGraphMode::FULL_AND_PIECEWISE})
    test::expect_error([&] { resolve(with([&](EngineArgs& a) { a.compilation_config.cudagraph_mode = mode; }), universal()); },
                       "cudagraph_mode: " + std::string(mode.name()) + " needs a device back end");
  const Config sizes = resolve(with([](EngineArgs& a) { a.compilation_config.cudagraph_capture_sizes = {1, 2}; }), universal());
  EXPECT_EQ(sizes.warnings,
            (std::vector<std::string>{"cudagraph_capture_sizes: has no effect, because no graphs are recorded here"}));
}

TEST(Resolve, GraphsOfADeviceBackEnd) {
  DeviceKind kind = device_kind<Cpu>();
  kind.backend = "device";
  kind.graphs = true;
  Registry device;  // the demo's builds, said to run elsewhere
  const Registry made = made_for_demo();
  for (Variant v : made.variants())
    if (v.backend == "cpu") {
      v.backend = kind.backend;
      v.device = &kind;
      device.add(v);
    }
  EngineArgs args = demo_args();
  args.backend = "device";
  args.compilation_config.cudagraph_capture_sizes = {1, 2, 4, 64};
  const Config c = resolve(args, device);
  EXPECT_EQ(c.compilation_config.level, CompilationLevel::PIECEWISE);
  EXPECT_EQ(c.compilation_config.cudagraph_mode, CUDAGraphMode::FULL);
  EXPECT_EQ(c.graph_bs, (Ids{4, 2, 1}));
  EXPECT_EQ(c.batch_buckets, (Ids{1, 2, 4}));
  ASSERT_EQ(c.warnings.size(), 1u);
  EXPECT_TRUE(c.warnings[0].starts_with("cudagraph_capture_sizes: sizes above 16 are left out")) << c.warnings[0];
  EXPECT_EQ(c.num_kvcache_blocks, 16 * 128 + 1) << "padding has a block of its own";

  EXPECT_TRUE(c.piece_tokens.empty());

  const auto with_mode = [&](CUDAGraphMode mode) {
    args.compilation_config.cudagraph_mode = mode;
    return resolve(args, device);
  };
  const Config pieces = with_mode(CUDAGraphMode::PIECEWISE);
  EXPECT_EQ(pieces.piece_tokens, (Ids{64, 4, 2, 1})) << "tokens, of which a step has more than sequences";
  EXPECT_TRUE(pieces.graph_bs.empty() && pieces.batch_buckets.empty());
  const Config both = with_mode(CUDAGraphMode::FULL_AND_PIECEWISE);
  EXPECT_EQ(both.piece_tokens, pieces.piece_tokens);
  EXPECT_EQ(both.graph_bs, c.graph_bs);
  const Config decode = with_mode(CUDAGraphMode::FULL_DECODE_ONLY);
  EXPECT_EQ(decode.compilation_config.cudagraph_mode, CUDAGraphMode::FULL_DECODE_ONLY);
  EXPECT_EQ(decode.graph_bs, c.graph_bs);
  EXPECT_TRUE(decode.piece_tokens.empty());
  args.compilation_config.cudagraph_capture_sizes = {64};
  test::expect_error([&] { resolve(args, device); }, "cudagraph_capture_sizes: no size is within the 16 sequences");
  args.compilation_config.cudagraph_capture_sizes = {};
  for (const bool eager : {true, false}) {
    args.enforce_eager = eager;
    args.compilation_config.use_cudagraph = eager;
    EXPECT_EQ(resolve(args, device).compilation_config.cudagraph_mode, CUDAGraphMode::NONE);
    EXPECT_TRUE(resolve(args, device).graph_bs.empty());
  }
}

TEST(Resolve, SizesTheCacheByTheMemoryItMayTake) {
  EngineArgs args = demo_args();
  args.max_model_len = 512;
  args.max_num_seqs = 4096;
  args.max_num_batched_tokens = 4096;
  args.load_dummy = "zero";
  const Config some = resolve(args, universal());
  EXPECT_LE(some.num_kvcache_blocks, 4096 * 32);
  EngineArgs little = args;
  little.gpu_memory_utilization = 0.2;
  const Config less = resolve(little, universal());
  EXPECT_LT(less.memory_limit, some.memory_limit);
  EXPECT_LE(less.num_kvcache_blocks, some.num_kvcache_blocks);

  // The plan keeps within the limit, whatever the limit is.
  ExecutorOptions o = executor_options(less);
  o.dry = true;
  const Executor dry(o, universal());
  const MemoryUse& m = dry.memory();
  EXPECT_LE(m.weights + m.kv_cache + m.activations + m.sampling + m.rope_table + m.thread_scratch, less.memory_limit);

  EngineArgs given = demo_args();
  given.num_kvcache_blocks = 20;
  EXPECT_EQ(resolve(given, universal()).num_kvcache_blocks, 20);
  EXPECT_EQ(resolve(given, universal()).max_model_len, 320) << "what was not asked for follows";
  given.max_model_len = 512;
  test::expect_error([&] { resolve(given, universal()); }, "max_model_len: 512 tokens do not fit");
  given.num_kvcache_blocks = 0;
  test::expect_error([&] { resolve(given, universal()); }, "num_kvcache_blocks: must be positive, or -1");
}

TEST(Resolve, DraftsNeedRowsOfLogits) {
  EngineArgs args = demo_args();
  EXPECT_EQ(executor_options(resolve(args, universal())).max_logits, 16);
  args.speculative_config.num_speculative_tokens = 3;
  const Config idle = resolve(args, universal());
  EXPECT_EQ(executor_options(idle).max_logits, 16);
  EXPECT_EQ(idle.warnings,
            (std::vector<std::string>{"speculative_config: has no effect without a method; name one, ngram or mtp"}));
  args.speculative_config.method = "ngram";
  const Config c = resolve(args, universal());
  EXPECT_EQ(executor_options(c).max_logits, 64);
  EXPECT_TRUE(c.warnings.empty());
  EXPECT_EQ(executor_options(c).draft_layers, 0);
  args.max_num_batched_tokens = 40;
  EXPECT_EQ(executor_options(resolve(args, universal())).max_logits, 40) << "a step has no more rows";
}

TEST(Resolve, MtpNeedsAModelWithTheLayer) {
  EngineArgs args = demo_args();
  args.speculative_config.method = "mtp";
  test::expect_error([&] { resolve(args, universal()); },
                     "/config.json: num_nextn_predict_layers: 0, and 1 of them would have to draft; use --method ngram or none, or "
                     "a model that has such layers");
  args.model = demo + "/../mtp-demo";
  const Config c = resolve(args, universal());
  EXPECT_EQ(executor_options(c).draft_layers, 1);
  EXPECT_EQ(c.kv_cache_dtype, "bf16") << "the layer's cache does not count as wider numbers";
  args.activation = "f32";
  EXPECT_EQ(resolve(args, universal()).kv_cache_dtype, "f32");
}

TEST(Resolve, CacheTypeIsThatOfTheBuild) {
  EngineArgs args = demo_args();
  args.kv_cache_dtype = "bf16";
  EXPECT_EQ(resolve(args, universal()).kv_cache_dtype, "bf16");
  args.activation = "f32";
  test::expect_error([&] { resolve(args, universal()); }, "no build in this binary admits --kv-cache-dtype bf16");
  args.kv_cache_dtype = "auto";
  EXPECT_EQ(resolve(args, universal()).kv_cache_dtype, "f32");
  args.kv_cache_dtype = "fp8";
  test::expect_error([&] { resolve(args, universal()); }, "--kv-cache-dtype fp8; use --kv-cache-dtype auto, another --activation");
}

TEST(Resolve, QuantisedCachesHoldTwiceAsMuch) {
  EngineArgs args = demo_args();
  const auto resolved = [&](const char* kv) {
    args.kv_cache_dtype = kv;
    return resolve(args, universal());
  };
  const auto bytes = [&](const char* kv) {
    ExecutorOptions o = executor_options(resolved(kv));
    o.dry = true;
    o.context_tokens = 4096;
    return static_cast<double>(Executor(o, universal()).memory().kv_cache);
  };
  for (const char* kv : {"int8", "fp8", "fp8_e4m3"})
    EXPECT_EQ(bytes("bf16") / bytes(kv), 2 * 64.0 / (64 + 4)) << kv << ": codes, and a scale per head";
  EXPECT_EQ(bytes("auto"), bytes("bf16"));
  EXPECT_EQ(resolved("fp8_e4m3").kv_cache_dtype, "fp8");

  const auto fit = [&](const char* kv) {  // tokens, in so much memory
    ExecutorOptions o = executor_options(resolved(kv));
    o.context_tokens = 1 << 24;
    o.memory_limit = std::size_t{1} << 30;
    std::string text;
    try {
      const Executor executor(o, universal());
    } catch (const Error& e) {
      text = e.what();
    }
    const std::string sentence = "a cache of ";
    const auto at = text.find(sentence);
    EXPECT_NE(at, std::string::npos) << text;
    return at == std::string::npos ? 0 : std::stod(text.substr(at + sentence.size()));
  };
  EXPECT_NEAR(fit("int8") / fit("bf16"), 2 * 64.0 / (64 + 4), 0.02);
}

TEST(Resolve, AutoTakesTheCacheThatAProgramHas) {
  Registry one;
  for (const Variant& v : universal().variants())
    if (v.spec->arch == model::Arch::qwen3 && v.spec->attn.head_dim == 64 && v.kv == "int8" && v.quant == "none" &&
        v.backend == "cpu")
      one.add(v);
  ASSERT_EQ(one.variants().size(), 1u);
  EXPECT_EQ(resolve(demo_args(), one).kv_cache_dtype, "int8");
}

TEST(Resolve, LatentCachesHoldPlainNumbers) {
  Wanted w;
  for (const Variant& v : universal().variants())
    if (v.spec->arch == model::Arch::deepseek_v3) w.spec = *v.spec;
  w.spec.attn.latent.q_rank = 1536;
  w.kv = "int8";
  test::expect_error([&] { (void)universal().choose(w); }, "--kv-cache-dtype int8; use --kv-cache-dtype auto: a latent cache");
}

TEST(Resolve, ChecksWhatOnlyTheModelKnows) {
  const auto refused = [](auto change, const std::string& message) {
    EngineArgs args = demo_args();
    change(args);
    test::expect_error([&] { resolve(args, universal()); }, message);
  };
  refused([](EngineArgs& a) { a.model.clear(); }, "model: none is given");
  refused([](EngineArgs& a) { a.max_num_batched_tokens = 8; }, "max_num_batched_tokens: 8 is less than max_num_seqs 16");
  refused([](EngineArgs& a) { a.long_prefill_token_threshold = 8; }, "long_prefill_token_threshold: must be 0 or between 16");
  refused(
      [](EngineArgs& a) {
        a.max_model_len = 128;
        a.long_prefill_token_threshold = 129;
      },
      "long_prefill_token_threshold: must be 0 or between 16 and max_model_len 128");
  refused([](EngineArgs& a) { a.tensor_parallel_size = 2; }, "--tensor-parallel-size 2: must divide");
  refused([](EngineArgs& a) { a.enable_expert_parallel = true; }, "--enable-expert-parallel: this model has no experts");
  refused(
      [](EngineArgs& a) {
        a.speculative_config.method = "ngram";
        a.speculative_config.prompt_lookup_max = 1;
      },
      "prompt_lookup_min: must be between 1 and 1, not 2");
  refused([](EngineArgs& a) { a.eos_token_id = 1 << 30; }, "eos_token_ids: 1073741824 is outside the vocabulary");
  EngineArgs args = demo_args();
  args.max_model_len = 1 << 24;
  EXPECT_EQ(resolve(args, universal()).max_model_len, read_config(demo).numbers.max_position);
  args.eos_token_id = 5;
  args.stop_token_ids = {6, 7};
  EXPECT_EQ(resolve(args, universal()).eos_token_ids, (Ids{5, 6, 7}));
}

TEST(DefaultArgs, AProgramOfOneBuildAsksForIt) {
  Registry one;
  for (const Variant& v : universal().variants())
    if (v.backend == "ref" && v.quant == "int8" && v.act == DType::f32) {
      one.add(v);
      break;
    }
  ASSERT_EQ(one.variants().size(), 1u);
  const EngineArgs args = default_args(one);
  EXPECT_EQ(args.backend, "ref");
  EXPECT_EQ(args.quant, "int8");
  EXPECT_EQ(args.activation, "f32");
  EXPECT_EQ(default_args(universal()).backend, "cpu");
  EXPECT_FALSE(args.enable_expert_parallel);
  Variant shared_out = one.variants().front();
  shared_out.tp = shared_out.ep = 2;
  Registry two;
  two.add(shared_out);
  EXPECT_EQ(default_args(two).tensor_parallel_size, 2);
  EXPECT_TRUE(default_args(two).enable_expert_parallel);
}

}  // namespace
}  // namespace atom::engine
