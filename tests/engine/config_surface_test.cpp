// Settings: every row by its flag, its variable, a file and its default; every sentence that refuses; and the graph modes.
#include <algorithm>
#include <cstdlib>
#include <gtest/gtest.h>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "atom/core/error.hpp"
#include "atom/engine/forward_mode.hpp"
#include "atom/engine/json.hpp"
#include "atom/engine/settings.hpp"

#include "temp_dir.hpp"

namespace atom::engine {
namespace {

using Ids = std::vector<int>;

// What a user of the field expects, written down apart from the table.
struct Expected {
  const char *field, *flag, *variable, *type, *standard;
};
constexpr Expected expected[] = {
    {"model", "model", "ATOM_MODEL", "text", ""},
    {"trust_remote_code", "trust-remote-code", "ATOM_TRUST_REMOTE_CODE", "boolean", "0"},
    {"max_num_batched_tokens", "max-num-batched-tokens", "ATOM_MAX_NUM_BATCHED_TOKENS", "integer", "512"},
    {"scheduler_delay_factor", "scheduler-delay-factor", "ATOM_SCHEDULER_DELAY_FACTOR", "number", "0"},
    {"max_num_seqs", "max-num-seqs", "ATOM_MAX_NUM_SEQS", "integer", "16"},
    {"max_model_len", "max-model-len", "ATOM_MAX_MODEL_LEN", "integer", "0"},
    {"gpu_memory_utilization", "gpu-memory-utilization", "ATOM_GPU_MEMORY_UTILIZATION", "number", "0.9"},
    {"tensor_parallel_size", "tensor-parallel-size", "ATOM_TENSOR_PARALLEL_SIZE", "integer", "1"},
    {"enforce_eager", "enforce-eager", "ATOM_ENFORCE_EAGER", "boolean", "0"},
    {"kv_cache_block_size", "block-size", "ATOM_BLOCK_SIZE", "integer", "16"},
    {"num_kvcache_blocks", "num-kvcache-blocks", "ATOM_NUM_KVCACHE_BLOCKS", "integer", "-1"},
    {"kv_cache_dtype", "kv-cache-dtype", "ATOM_KV_CACHE_DTYPE", "text", "auto"},
    {"enable_prefix_caching", "enable-prefix-caching", "ATOM_ENABLE_PREFIX_CACHING", "boolean", "1"},
    {"enable_chunked_prefill", "enable-chunked-prefill", "ATOM_ENABLE_CHUNKED_PREFILL", "boolean", "1"},
    {"long_prefill_token_threshold", "long-prefill-token-threshold", "ATOM_LONG_PREFILL_TOKEN_THRESHOLD", "integer", "0"},
    {"port", "port", "ATOM_PORT", "integer", "8006"},
    {"torch_profiler_dir", "torch-profiler-dir", "ATOM_TORCH_PROFILER_DIR", "text", ""},
    {"asyncio_mode", "asyncio-mode", "ATOM_ASYNCIO_MODE", "boolean", "0"},
    {"gpu_gemm", "gpu-gemm", "ATOM_GPU_GEMM", "text", "auto"},
    {"load_dummy", "load-dummy", "ATOM_LOAD_DUMMY", "text", "none"},
    {"enable_expert_parallel", "enable-expert-parallel", "ATOM_ENABLE_EXPERT_PARALLEL", "boolean", "0"},
    {"enable_dp_attention", "enable-dp-attention", "ATOM_ENABLE_DP_ATTENTION", "boolean", "0"},
    {"master_addr", "master-addr", "ATOM_MASTER_ADDR", "text", "127.0.0.1"},
    {"bos_token_id", "bos-token-id", "ATOM_BOS_TOKEN_ID", "integer", "-1"},
    {"eos_token_id", "eos-token-id", "ATOM_EOS_TOKEN_ID", "integer", "-1"},
    {"stop_token_ids", "stop-token-ids", "ATOM_STOP_TOKEN_IDS", "integers", ""},
    {"compilation_config.level", "level", "ATOM_LEVEL", "integer", "-1"},
    {"compilation_config.use_cudagraph", "use-cudagraph", "ATOM_USE_CUDAGRAPH", "boolean", "1"},
    {"compilation_config.cudagraph_capture_sizes", "cudagraph-capture-sizes", "ATOM_CUDAGRAPH_CAPTURE_SIZES", "integers", ""},
    {"compilation_config.cuda_graph_sizes", "cuda-graph-sizes", "ATOM_CUDA_GRAPH_SIZES", "integers", ""},
    {"compilation_config.cudagraph_mode", "cudagraph-mode", "ATOM_CUDAGRAPH_MODE", "mode", ""},
    {"compilation_config.debug_dump_path", "debug-dump-path", "ATOM_DEBUG_DUMP_PATH", "text", ""},
    {"compilation_config.cache_dir", "cache-dir", "ATOM_CACHE_DIR", "text", ""},
    {"compilation_config.use_inductor", "use-inductor", "ATOM_USE_INDUCTOR", "boolean", "1"},
    {"compilation_config.splitting_ops", "splitting-ops", "ATOM_SPLITTING_OPS", "text", ""},
    {"compilation_config.cudagraph_copy_inputs", "cudagraph-copy-inputs", "ATOM_CUDAGRAPH_COPY_INPUTS", "boolean", "0"},
    {"compilation_config.compile_sizes", "compile-sizes", "ATOM_COMPILE_SIZES", "text", ""},
    {"compilation_config.inductor_compile_config", "inductor-compile-config", "ATOM_INDUCTOR_COMPILE_CONFIG", "text", ""},
    {"parallel_config.data_parallel_size", "data-parallel-size", "ATOM_DP_SIZE", "integer", "1"},
    {"parallel_config.data_parallel_size_local", "data-parallel-size-local", "ATOM_DATA_PARALLEL_SIZE_LOCAL", "integer", "1"},
    {"parallel_config.data_parallel_rank", "data-parallel-rank", "ATOM_DP_RANK", "integer", "0"},
    {"parallel_config.data_parallel_rank_local", "data-parallel-rank-local", "ATOM_DP_RANK_LOCAL", "integer", "0"},
    {"parallel_config.data_parallel_master_ip", "data-parallel-master-ip", "ATOM_DP_MASTER_IP", "text", "127.0.0.1"},
    {"parallel_config.data_parallel_master_port", "data-parallel-master-port", "ATOM_DP_MASTER_PORT", "integer", "29500"},
    {"parallel_config.data_parallel_base_port", "data-parallel-base-port", "ATOM_DP_BASE_PORT", "integer", "0"},
    {"speculative_config.method", "method", "ATOM_METHOD", "text", ""},
    {"speculative_config.model", "draft-model", "ATOM_DRAFT_MODEL", "text", ""},
    {"speculative_config.num_speculative_tokens", "num-speculative-tokens", "ATOM_NUM_SPECULATIVE_TOKENS", "integer", "1"},
    {"speculative_config.prompt_lookup_max", "prompt-lookup-max", "ATOM_PROMPT_LOOKUP_MAX", "integer", "4"},
    {"speculative_config.prompt_lookup_min", "prompt-lookup-min", "ATOM_PROMPT_LOOKUP_MIN", "integer", "2"},
};
constexpr const char* variables_alone[] = {"ATOM_ENABLE_QK_NORM_ROPE_CACHE_QUANT_FUSION",
                                           "ATOM_USE_TRITON_GEMM",
                                           "ATOM_USE_TRITON_MXFP4_BMM",
                                           "ATOM_ENABLE_DS_INPUT_RMSNORM_QUANT_FUSION",
                                           "ATOM_ENABLE_DS_QKNORM_FUSION",
                                           "ATOM_ENABLE_DS_QKNORM_QUANT_FUSION",
                                           "ATOM_ENABLE_ALLREDUCE_RMSNORM_FUSION",
                                           "ATOM_LLAMA_ENABLE_AITER_TRITON_FUSED_RMSNORM_QUANT",
                                           "ATOM_LLAMA_ENABLE_AITER_TRITON_FUSED_SILU_MUL_QUANT",
                                           "ATOM_DUAL_STREAM_MOE_TOKEN_THRESHOLD",
                                           "ATOM_PROFILER_MORE",
                                           "ATOM_LOG_MORE",
                                           "ATOM_DISABLE_MMAP",
                                           "ATOM_DISABLE_VLLM_PLUGIN",
                                           "ATOM_DISABLE_VLLM_PLUGIN_ATTENTION",
                                           "HF_TOKEN",
                                           "OPENAI_API_KEY",
                                           "VLLM_USE_MODELSCOPE",
                                           "SAVE_TO_PYTORCH_BENCHMARK_FORMAT",
                                           "AITER_QUICK_REDUCE_QUANTIZATION",
                                           "TORCHINDUCTOR_CACHE_DIR",
                                           "TRITON_CACHE_DIR"};

/// Sets a variable for as long as it lives, with all of the table's others unset before.
class Variable {
 public:
  Variable(std::string name, const std::string& value) : name_(std::move(name)) { setenv(name_.c_str(), value.c_str(), 1); }
  ~Variable() { unsetenv(name_.c_str()); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  std::string name_;
};

class Settings : public testing::Test {
 protected:
  void SetUp() override {
    for (const Setting& s : settings())
      for (const std::string& v : variables_of(s)) unsetenv(v.c_str());
  }
};

/// A value that is well-formed and not the default.
std::string other_value(const Setting& s) {
  const std::string standard = default_of(s);
  switch (type_of(s)) {
    case SettingType::boolean: return standard == "1" ? "0" : "1";
    case SettingType::integer: {
      const int n = std::stoi(standard);
      return std::to_string(n + 1 <= s.high ? n + 1 : n - 1);
    }
    case SettingType::number: return "0.5";
    case SettingType::integers: return "3,5";
    case SettingType::graph_mode: return "FULL";
    case SettingType::text: break;
  }
  return s.choices.empty() ? "elsewhere" : std::string(s.choices.substr(s.choices.rfind(' ') + 1));
}
std::string name_in_messages(const Setting& s) { return s.field.empty() ? std::string(s.variable) : "--" + flag_of(s); }

TEST_F(Settings, EveryExpectedFieldExistsUnderItsNames) {
  for (const Expected& e : expected) {
    const Setting* s = find_setting(e.field);
    ASSERT_NE(s, nullptr) << e.field;
    EXPECT_EQ(s->field, e.field);
    EXPECT_EQ(flag_of(*s), e.flag);
    EXPECT_NE(std::ranges::count(variables_of(*s), e.variable), 0) << e.field;
    EXPECT_EQ(name_of(type_of(*s)), e.type) << e.field;
    EXPECT_EQ(default_of(*s), e.standard) << e.field;
    EXPECT_EQ(find_setting(e.flag), s);
    EXPECT_FALSE(s->meaning.empty());
  }
  for (const char* name : variables_alone) EXPECT_EQ(std::ranges::count(settings(), name, &Setting::variable), 1) << name;
  EXPECT_EQ(find_setting("no_such_field"), nullptr);
}

TEST_F(Settings, NamesAreUnique) {
  std::multiset<std::string> names;
  for (const Setting& s : settings()) {
    if (!s.field.empty()) names.insert("--" + flag_of(s));
    for (const std::string& v : variables_of(s)) names.insert(v);
  }
  for (const std::string& n : names) EXPECT_EQ(names.count(n), 1u) << n;
}

TEST_F(Settings, WhatDoesNotWorkSaysWhy) {
  for (const Setting& s : settings()) EXPECT_EQ(s.why.empty(), s.effect == Setting::Effect::works) << s.field << s.variable;
}

TEST_F(Settings, EveryRowTakesItsDefault) {
  for (const Setting& s : settings()) {
    EngineArgs args;
    EXPECT_NO_THROW(set(args, s, default_of(s), name_in_messages(s))) << s.field;
    EXPECT_EQ(get(args, s), default_of(s));
  }
}

TEST_F(Settings, EveryRowTakesOrRefusesAnotherValue) {
  for (const Setting& s : settings()) {
    EngineArgs args;
    const std::string value = other_value(s), name = name_in_messages(s);
    if (s.effect == Setting::Effect::fixed) {
      try {
        set(args, s, value, name);
        ADD_FAILURE() << name << " took " << value;
      } catch (const Error& e) {
        EXPECT_EQ(std::string(e.what()), name + ": " + std::string(s.why));
      }
      EXPECT_EQ(get(args, s), default_of(s));
    } else {
      ASSERT_NO_THROW(set(args, s, value, name)) << name;
      if (s.place) {
        EXPECT_EQ(get(args, s), value);
      }
    }
  }
}

TEST_F(Settings, EveryVariableIsReadAndEmptyIsUnset) {
  for (const Setting& s : settings())
    for (const std::string& v : variables_of(s)) {
      EngineArgs args;
      {
        const Variable empty(v, "");
        ASSERT_NO_THROW(apply_environment(args)) << v;
        EXPECT_EQ(get(args, s), default_of(s)) << v;
      }
      const Variable given(v, other_value(s));
      if (s.effect == Setting::Effect::fixed) {
        test::expect_error([&] { apply_environment(args); }, v + ": " + std::string(s.why));
        if (!s.field.empty()) {
          EXPECT_NO_THROW(apply_environment(args, s.field)) << v;
        }
      } else {
        ASSERT_NO_THROW(apply_environment(args)) << v;
        if (s.place) {
          EXPECT_EQ(get(args, s), other_value(s)) << v;
        }
      }
    }
}

TEST_F(Settings, FilesUseTheFieldNames) {
  test::TempDir dir;
  EngineArgs args;
  apply_file(args, dir.write("a.json", R"({"max_num_seqs": 4, "enforce_eager": true, "scheduler_delay_factor": 2,
    "compilation_config": {"level": 0, "cudagraph_capture_sizes": [1, 2], "cudagraph_mode": "none"}, "block_size": 16,
    "long_prefill_token_threshold": null, "load_dummy": true, "parallel_config": {"data_parallel_size": 1}, "kv_transfer_config": {},
    "stop_token_ids": [7, 8], "cuda_graph_sizes": [32]})"));
  EXPECT_EQ(args.max_num_seqs, 4);
  EXPECT_TRUE(args.enforce_eager);
  EXPECT_EQ(args.scheduler_delay_factor, 2);
  EXPECT_EQ(args.compilation_config.level, 0);
  EXPECT_EQ(args.compilation_config.cudagraph_capture_sizes, (Ids{1, 2}));
  EXPECT_EQ(args.compilation_config.cuda_graph_sizes, (Ids{32}));
  EXPECT_EQ(args.compilation_config.cudagraph_mode, CUDAGraphMode::NONE);
  EXPECT_EQ(args.load_dummy, "random");
  EXPECT_EQ(args.stop_token_ids, (Ids{7, 8}));
  const auto refused = [&](const std::string& json, const std::string& part) {
    const std::string file = dir.write("b.json", json);
    test::expect_error([&] { apply_file(args, file); }, part);
    test::expect_error([&] { apply_file(args, file); }, file);
  };
  refused(R"({"max_seqs": 4})", "max_seqs: is no setting");
  refused(R"({"compilation_config": {"levels": 4}})", "compilation_config.levels: is no setting");
  refused(R"({"max_num_seqs": "4"})", "max_num_seqs: expected an integer");
  refused(R"({"max_num_seqs": 4.5})", "max_num_seqs: expected an integer");
  refused(R"({"enforce_eager": 1})", "enforce_eager: expected");
  refused(R"({"max_num_seqs": 5000})", "max_num_seqs: must be between 1 and 4096, not 5000");
  refused(R"({"speculative_config": {"method": "psychic"}})",
          "speculative_config.method: \"psychic\" is unknown; use one of ngram, mtp");
  refused(R"({"speculative_config": {"model": "drafts"}})", "speculative_config.model: drafts come from the text itself");
  refused(R"({"kv_transfer_config": {"kv_role": "both"}})", "kv_transfer_config: KV caches do not leave");
  refused(R"([1])", "expected an object");
}

TEST_F(Settings, EveryFieldCanComeFromAFile) {
  test::TempDir dir;
  for (const Setting& s : settings()) {
    if (!s.place) continue;
    const std::string value = other_value(s), field(s.field);
    const SettingType type = type_of(s);
    std::string json = type == SettingType::boolean                                   ? (value == "1" ? "true" : "false")
                       : type == SettingType::integers                                ? "[" + value + "]"
                       : type == SettingType::text || type == SettingType::graph_mode ? "\"" + value + "\""
                                                                                      : value;
    const auto dot = field.find('.');
    json = dot == field.npos ? "{\"" + field + "\": " + json + "}"
                             : "{\"" + field.substr(0, dot) + "\": {\"" + field.substr(dot + 1) + "\": " + json + "}}";
    EngineArgs args;
    const std::string file = dir.write("settings.json", json);
    if (s.effect == Setting::Effect::fixed) {
      test::expect_error([&] { apply_file(args, file); }, field + ": " + std::string(s.why));
    } else {
      ASSERT_NO_THROW(apply_file(args, file)) << json;
      EXPECT_EQ(get(args, s), value) << field;
    }
  }
}

TEST_F(Settings, BadValuesAreNamed) {
  const struct {
    const char *field, *text, *message;
  } cases[] = {
      {"max_num_seqs", "many", "x: expected an integer, found \"many\""},
      {"max_num_seqs", "4 ", "x: expected an integer"},
      {"max_num_seqs", "0", "x: must be between 1 and 4096, not 0"},
      {"max_num_seqs", "99999999999999999999", "x: must be between 1 and 4096"},
      {"tensor_parallel_size", "0", "x: must be between 1 and 64, not 0"},
      {"tensor_parallel_size", "65", "x: must be between 1 and 64, not 65"},
      {"gpu_memory_utilization", "0", "x: must be between 0.01 and 1, not 0"},
      {"gpu_memory_utilization", "1.5", "x: must be between 0.01 and 1, not 1.5"},
      {"gpu_memory_utilization", "nan", "x: expected a number"},
      {"scheduler_delay_factor", "-1", "x: must be between 0 and"},
      {"level", "4", "x: must be between -1 and 3, not 4"},
      {"cudagraph_mode", "HALF", "x: \"HALF\" is unknown; use one of NONE, PIECEWISE"},
      {"cudagraph_capture_sizes", "[1,,2]", "x: expected an integer"},
      {"cudagraph_capture_sizes", "1,2,", "x: expected integers"},
      {"cudagraph_capture_sizes", "0", "x: must be between 1 and"},
      {"enforce_eager", "yes", "x: expected 1, 0, true or false, found \"yes\""},
      {"kv_cache_dtype", "int4", "x: \"int4\" is unknown; use one of auto, bf16, f32, int8, fp8, fp8_e4m3"},
      {"load_dummy", "xavier", "x: \"xavier\" is unknown; use one of none, empty, zero, random"},
      {"block_size", "32", "x: blocks of 16 tokens"},
      {"num_speculative_tokens", "0", "x: must be between 1 and 16, not 0"},
      {"num_speculative_tokens", "17", "x: must be between 1 and 16, not 17"},
      {"prompt_lookup_min", "0", "x: must be between 1 and 1024, not 0"},
      {"pipeline_parallel_size", "2", "x: only tensor_parallel_size cuts a model"},
      {"moe_backend", "mega", "x: how experts are computed and where rows go"},
  };
  for (const auto& c : cases) {
    EngineArgs args;
    test::expect_error([&] { set(args, *find_setting(c.field), c.text, "x"); }, c.message);
  }
}

TEST_F(Settings, SpellingsOfOneValue) {
  EngineArgs args;
  for (const char* yes : {"1", "true"}) {
    set(args, *find_setting("enforce_eager"), "0", "x");
    set(args, *find_setting("enforce_eager"), yes, "x");
    EXPECT_TRUE(args.enforce_eager);
  }
  for (const char* list : {"1,2,4", "[1, 2, 4]", " [1,2,4] "}) {
    set(args, *find_setting("cudagraph_capture_sizes"), list, "x");
    EXPECT_EQ(args.compilation_config.cudagraph_capture_sizes, (Ids{1, 2, 4}));
  }
  set(args, *find_setting("cudagraph_capture_sizes"), "[]", "x");
  EXPECT_TRUE(args.compilation_config.cudagraph_capture_sizes.empty());
  for (const char* mode : {"full_and_piecewise", "FULL_AND_PIECEWISE"}) {
    set(args, *find_setting("cudagraph_mode"), mode, "x");
    EXPECT_EQ(args.compilation_config.cudagraph_mode, CUDAGraphMode::FULL_AND_PIECEWISE);
  }
}

TEST_F(Settings, ValuesThatDidNotComeAsTextAreCheckedToo) {
  const auto refused = [](auto change, const std::string& message) {
    EngineArgs args;
    change(args);
    test::expect_error([&] { check(args); }, message);
  };
  EXPECT_NO_THROW(check(EngineArgs()));
  refused([](EngineArgs& a) { a.max_num_seqs = 0; }, "max_num_seqs: must be between");
  refused([](EngineArgs& a) { a.compilation_config.level = 7; }, "compilation_config.level: must be between");
  refused([](EngineArgs& a) { a.parallel_config.data_parallel_size = 2; }, "data_parallel_size: data parallelism is not built");
  refused([](EngineArgs& a) { a.enable_dp_attention = true; }, "enable_dp_attention: data parallelism is not built");
  refused([](EngineArgs& a) { a.speculative_config.method = "psychic"; }, "speculative_config.method: \"psychic\" is unknown");
  refused([](EngineArgs& a) { a.trust_remote_code = true; }, "trust_remote_code: code that comes with a model");
  refused([](EngineArgs& a) { a.quant = "int3"; }, "quant: \"int3\" is unknown");
}

TEST_F(Settings, DocumentationHasEveryRow) {
  const std::string page = settings_markdown();
  const auto rows = Json::parse(settings_json(), "settings");
  EXPECT_EQ(rows.as_array("rows").size(), settings().size());
  for (const Setting& s : settings()) {
    EXPECT_NE(page.find("`" + std::string(s.field.empty() ? s.variable : s.field) + "`"), page.npos);
    EXPECT_NE(page.find(s.why), page.npos);
  }
}

TEST(CUDAGraphMode, AnswersForEveryMode) {
  using M = CUDAGraphMode;
  const struct {
    M mode, decode, mixed, max;
    bool piecewise, full, separate;
  } cases[] = {
      {M::NONE, M::NONE, M::NONE, M::NONE, false, false, false},
      {M::PIECEWISE, M::PIECEWISE, M::PIECEWISE, M::PIECEWISE, true, false, false},
      {M::FULL, M::FULL, M::FULL, M::FULL, false, true, false},
      {M::FULL_DECODE_ONLY, M::FULL, M::NONE, M::FULL, false, true, true},
      {M::FULL_AND_PIECEWISE, M::FULL, M::PIECEWISE, M::FULL, true, true, true},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(c.mode.decode_mode(), c.decode) << c.mode.name();
    EXPECT_EQ(c.mode.mixed_mode(), c.mixed) << c.mode.name();
    EXPECT_EQ(c.mode.max_cudagraph_mode(), c.max) << c.mode.name();
    EXPECT_EQ(c.mode.requires_piecewise_compilation(), c.piecewise) << c.mode.name();
    EXPECT_EQ(c.mode.has_full_cudagraphs(), c.full) << c.mode.name();
    EXPECT_EQ(c.mode.separate_routine(), c.separate) << c.mode.name();
    EXPECT_EQ(M::of(c.mode.name()), c.mode);
  }
  EXPECT_EQ(M::of(""), std::nullopt);
}

TEST(CaptureSizes, FollowTheRule) {
  std::string warning;
  const auto sizes = [&](Ids capture, Ids graph, int seqs, int tokens, int each) {
    CompilationConfig c;
    c.cudagraph_capture_sizes = std::move(capture);
    c.cuda_graph_sizes = std::move(graph);
    warning.clear();
    return capture_sizes(c, seqs, tokens, each, warning);
  };
  EXPECT_EQ(sizes({1, 7, 3, 3}, {512}, 16, 512, 1), (Ids{7, 3, 1})) << "an explicit list wins, largest first";
  EXPECT_EQ(warning, "");
  EXPECT_EQ(sizes({}, {40}, 512, 512, 1), (Ids{32, 16, 8, 4, 2, 1}));
  EXPECT_EQ(sizes({}, {3, 5}, 512, 512, 1), (Ids{5, 3}));
  const Ids most = sizes({}, {}, 1024, 4096, 1);
  EXPECT_EQ(most.front(), 512);
  EXPECT_EQ(most.size(), 4u + 512 / 16);
  EXPECT_EQ(sizes({}, {}, 16, 512, 1), (Ids{16, 8, 4, 2, 1}));
  EXPECT_EQ(warning, "") << "nobody asked for 512";
  EXPECT_EQ(sizes({1, 2, 64}, {}, 16, 512, 1), (Ids{2, 1}));
  EXPECT_EQ(warning, "cudagraph_capture_sizes: sizes above 16 are left out: a step has at most so many sequences");
  EXPECT_EQ(sizes({1, 2, 4, 8}, {}, 16, 8, 2), (Ids{4, 2, 1})) << "two tokens of each sequence";
  test::expect_error([&] { sizes({64}, {}, 16, 512, 1); }, "cudagraph_capture_sizes: no size is within the 16 sequences");
  test::expect_error([&] { sizes({}, {0, 4}, 16, 512, 1); }, "cuda_graph_sizes: 0 is no number of sequences");
}

TEST(ForwardMode, SmallestCapturedSizeThatHoldsTheStep) {
  const Ids captured{1, 2, 4, 8, 16};
  const struct {
    StepShape step;
    bool eager, graph;
    int batch_size, padded;
  } cases[] = {
      {{.num_seqs = 3, .num_input_tokens = 3}, false, true, 4, 4},
      {{.num_seqs = 4, .num_input_tokens = 4}, false, true, 4, 4},
      {{.num_seqs = 16, .num_input_tokens = 16}, false, true, 16, 16},
      {{.num_seqs = 17, .num_input_tokens = 17}, false, false, 17, 17},
      {{.num_seqs = 3, .num_input_tokens = 3}, true, false, 3, 3},
      {{.num_seqs = 3, .num_input_tokens = 90, .prefill = true}, false, false, 3, 3},
      {{.num_seqs = 3, .num_input_tokens = 6, .q = 2}, false, true, 4, 4},
      {{.num_seqs = 2, .num_input_tokens = 7, .q = 2}, false, true, 4, 4},  // padded to what another rank has
      {{.num_seqs = 2, .num_input_tokens = 40, .q = 2}, false, false, 2, 20},
      {{.num_seqs = 2, .num_input_tokens = 5, .uniform = false}, false, false, 2, 5},
  };
  for (const auto& c : cases) {
    const ForwardMode m = ForwardMode::decide(c.step, captured, c.eager);
    EXPECT_EQ(m.graph, c.graph);
    EXPECT_EQ(m.batch_size, c.batch_size);
    EXPECT_EQ(m.padded, c.padded);
  }
  EXPECT_EQ(padded_size({}, 1), 0);
  EXPECT_LT((GraphKey{4, 1}), (GraphKey{4, 2}));
  EXPECT_NE((BatchDescriptor{4, true}), (BatchDescriptor{4, false}));
}

}  // namespace
}  // namespace atom::engine
