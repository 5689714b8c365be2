#include "atom/engine/config.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "atom/engine/json.hpp"

#include "temp_dir.hpp"

namespace atom::engine {
namespace {

using model::Arch;
using model::RopeConfig;
using test::error_of;

/// A small valid file of the architecture ("Llama", "Qwen2", "Qwen3"), with members added or, if already there, replaced.
std::string file(const std::string& architecture, const std::vector<std::pair<std::string, std::string>>& changes = {}) {
  std::vector<std::pair<std::string, std::string>> members = {{"architectures", "[\"" + architecture + "ForCausalLM\"]"},
                                                              {"hidden_size", "256"},
                                                              {"intermediate_size", "512"},
                                                              {"vocab_size", "1000"},
                                                              {"num_hidden_layers", "2"},
                                                              {"num_attention_heads", "4"},
                                                              {"num_key_value_heads", "2"},
                                                              {"max_position_embeddings", "4096"},
                                                              {"hidden_act", "\"silu\""}};
  for (const auto& change : changes) {
    const auto same = std::find_if(members.begin(), members.end(), [&](const auto& m) { return m.first == change.first; });
    same != members.end() ? void(*same = change) : members.push_back(change);
  }
  std::string out = "{";
  for (const auto& [key, value] : members) out += (out.size() > 1 ? ",\"" : "\"") + key + "\":" + value;
  return out + "}";
}
ModelConfig read(const std::string& text) { return from_config(Json::parse(text, "config.json")); }
ModelConfig read(const std::string& architecture, const std::vector<std::pair<std::string, std::string>>& changes) {
  return read(file(architecture, changes));
}
std::string error(const std::string& architecture, const std::vector<std::pair<std::string, std::string>>& changes) {
  return error_of([&] { static_cast<void>(read(architecture, changes)); });
}
void expect_refused(const std::string& key, const std::string& value, const std::string& message,
                    const std::string& architecture = "Llama") {
  SCOPED_TRACE(key + " = " + value);
  EXPECT_EQ(error(architecture, {{key, value}}), "config.json: " + message);
}

const std::string data = std::string(ATOM_TEST_DATA) + "/hf/";

TEST(Config, ReadsLlamaWithLlama3Rope) {
  const ModelConfig c = read_config(data + "llama");
  model::ModelSpec spec;
  spec.arch = Arch::llama;
  spec.d_model = spec.d_ff = 256;
  spec.vocab = 320;
  spec.layers = 2;
  spec.attn.heads = 4;
  spec.attn.kv_heads = 2;
  spec.attn.head_dim = 64;
  EXPECT_EQ(c.spec, spec);
  RopeConfig rope;
  rope.kind = RopeConfig::Kind::llama3;
  rope.theta = 500000;
  rope.factor = 8;
  rope.low_freq_factor = 1;
  rope.high_freq_factor = 4;
  rope.original_max_position = 64;
  rope.rotary_dim = 64;
  EXPECT_EQ(c.numbers.rope, rope);
  EXPECT_EQ(c.numbers.rms_eps, 1e-5f);
  EXPECT_EQ(c.numbers.attn_scale, 0.125f);
  EXPECT_EQ(c.numbers.max_position, 512);
  EXPECT_EQ(c.dtype, DType::bf16);
  EXPECT_EQ(c.bos_token_id, 1);
  EXPECT_EQ(c.eos_token_ids, std::vector{2});
  EXPECT_TRUE(c.unknown_keys.empty());
}

TEST(Config, ReadsLlama2WithDefaults) {
  const ModelConfig c = read_config(data + "llama2_mha");
  EXPECT_EQ(c.spec.attn.heads, 2);
  EXPECT_EQ(c.spec.attn.kv_heads, 2);
  EXPECT_EQ(c.spec.attn.head_dim, 64);
  EXPECT_EQ(c.spec.attn.qkv_bias, 0);
  EXPECT_EQ(c.spec.attn.o_bias, 0);
  EXPECT_EQ(c.spec.mlp_bias, 0);
  EXPECT_EQ(c.spec.d_ff, 192);
  EXPECT_FALSE(c.spec.tied);
  EXPECT_EQ(c.numbers.rope, (RopeConfig{.theta = 10000, .rotary_dim = 64}));
}

TEST(Config, ReadsQwen2WithItsBiases) {
  const ModelConfig c = read_config(data + "qwen2");
  EXPECT_EQ(c.spec.arch, Arch::qwen2);
  EXPECT_EQ(c.spec.attn.qkv_bias, 1);
  EXPECT_EQ(c.spec.attn.o_bias, 0);
  EXPECT_FALSE(c.spec.attn.qk_norm);
  EXPECT_EQ(c.numbers.rms_eps, 1e-6f);
  EXPECT_EQ(c.numbers.rope.theta, 1e6);
}

TEST(Config, ReadsQwen3WithItsHeadDim) {
  const ModelConfig c = read_config(data + "qwen3");
  EXPECT_EQ(c.spec.arch, Arch::qwen3);
  EXPECT_EQ(c.spec.d_model, 128);
  EXPECT_EQ(c.spec.attn.heads, 2);
  EXPECT_EQ(c.spec.attn.kv_heads, 1);
  EXPECT_EQ(c.spec.attn.head_dim, 128) << "not d_model / heads";
  EXPECT_TRUE(c.spec.attn.qk_norm);
  EXPECT_EQ(c.spec.attn.qkv_bias, 0);
  EXPECT_TRUE(c.spec.tied);
  EXPECT_EQ(c.numbers.attn_scale, 0.08838834764831845f);
}

TEST(Config, ReadsMixtral) {
  const ModelConfig c = read_config(data + "mixtral");
  EXPECT_EQ(c.spec.arch, Arch::mixtral);
  EXPECT_EQ(c.spec.attn.head_dim, 64);
  EXPECT_EQ(c.spec.d_ff, 64);
  EXPECT_EQ(c.spec.moe, (model::MoeSpec{.experts = 8, .top_k = 2, .d_ff = 64, .renormalise = 1}));
  EXPECT_EQ(c.numbers.routed_scale, 1);
  EXPECT_TRUE(c.unknown_keys.empty()) << c.unknown_keys[0];
  EXPECT_EQ(read("Mixtral", {{"num_experts", "4"}}).spec.moe.experts, 4) << "the key's other name";
  EXPECT_EQ(read("Mixtral", {}).spec.moe, (model::MoeSpec{.experts = 8, .top_k = 2, .d_ff = 512, .renormalise = 1}));
}

TEST(Config, ReadsQwen3Moe) {
  const ModelConfig c = read_config(data + "qwen3_moe");
  EXPECT_EQ(c.spec.arch, Arch::qwen3_moe);
  EXPECT_EQ(c.spec.d_ff, 256);
  EXPECT_TRUE(c.spec.attn.qk_norm);
  EXPECT_EQ(c.spec.moe, (model::MoeSpec{.experts = 8, .top_k = 4, .d_ff = 128, .renormalise = 1}));
  EXPECT_TRUE(c.unknown_keys.empty()) << c.unknown_keys[0];
  const ModelConfig defaults = read("Qwen3Moe", {});
  EXPECT_EQ(defaults.spec.moe, (model::MoeSpec{.experts = 128, .top_k = 8, .d_ff = 768}));
  EXPECT_EQ(defaults.spec.attn.head_dim, 64) << "d_model / heads";
}

TEST(Config, ReadsGlm4Moe) {
  const ModelConfig c = read_config(data + "glm4_moe");
  EXPECT_EQ(c.spec.arch, Arch::glm4_moe);
  EXPECT_EQ(c.spec.attn, (model::AttnSpec{.heads = 2, .kv_heads = 1, .head_dim = 128, .qk_norm = true, .qkv_bias = 1}));
  EXPECT_EQ(c.spec.moe, (model::MoeSpec{.experts = 8, .top_k = 2, .d_ff = 32, .renormalise = 1, .shared = 1, .dense_layers = {0}}));
  EXPECT_EQ(c.numbers.rope, (RopeConfig{.theta = 1e6, .rotary_dim = 64}));
  EXPECT_TRUE(c.unknown_keys.empty());
  const ModelConfig defaults = read("Glm4Moe", {{"head_dim", "128"}});
  EXPECT_EQ(defaults.spec.moe,
            (model::MoeSpec{.experts = 128, .top_k = 8, .d_ff = 1408, .renormalise = 1, .shared = 1, .dense_layers = {0}}));
  EXPECT_EQ(defaults.spec.attn.qkv_bias, 0);
  EXPECT_FALSE(defaults.spec.attn.qk_norm);
  EXPECT_EQ(defaults.numbers.routed_scale, 1);
  const ModelConfig other = read("Glm4Moe", {{"partial_rotary_factor", "0.25"},
                                             {"n_group", "8"},
                                             {"topk_group", "3"},
                                             {"n_shared_experts", "2"},
                                             {"routed_scaling_factor", "2.5"},
                                             {"moe_layer_freq", "2"},
                                             {"num_nextn_predict_layers", "1"},
                                             {"num_hidden_layers", "4"}});
  EXPECT_EQ(other.numbers.rope.rotary_dim, 16);
  EXPECT_EQ(other.numbers.routed_scale, 2.5f);
  EXPECT_EQ(other.spec.moe.groups, 8);
  EXPECT_EQ(other.spec.moe.top_groups, 3);
  EXPECT_EQ(other.spec.moe.shared, 2);
  EXPECT_EQ(other.spec.moe.dense_layers, (model::LayerSet{0, 1, 3}));
  EXPECT_EQ(other.spec.mtp_layers, 1);
}

// Both read as transformers 5 writes them, and as published.
TEST(Config, ReadsDeepseekV2) {
  const ModelConfig c = read_config(data + "deepseek_v2");
  EXPECT_EQ(c.spec.arch, Arch::deepseek_v2);
  EXPECT_EQ(c.spec.attn, (model::AttnSpec{.heads = 2,
                                          .kv_heads = 2,
                                          .head_dim = 192,
                                          .latent = {.rank = 512, .rope = 64, .nope = 128, .value = 128, .q_rank = 0}}));
  EXPECT_EQ(c.spec.moe,
            (model::MoeSpec{.experts = 8, .top_k = 3, .d_ff = 32, .groups = 4, .top_groups = 2, .shared = 2, .dense_layers = {0}}));
  EXPECT_EQ(c.numbers.rope.rotary_dim, 64);
  const double m = 0.1 * 0.707 * std::log(4.0) + 1;
  EXPECT_NEAR(c.numbers.attn_scale, m * m / std::sqrt(192.0), 1e-7);
  EXPECT_TRUE(c.unknown_keys.empty()) << c.unknown_keys[0];
  const ModelConfig defaults = read("DeepseekV2", {});
  EXPECT_EQ(defaults.spec.attn.latent, (model::LatentSpec{.rank = 512, .rope = 64, .nope = 128, .value = 128}));
  EXPECT_EQ(defaults.spec.moe, (model::MoeSpec{.experts = 64, .top_k = 6, .d_ff = 1407, .shared = 2}));
  EXPECT_EQ(read("DeepseekV2", {{"n_group", "4"}, {"topk_group", "2"}}).spec.moe.groups, 1) << "greedy";
  expect_refused("norm_topk_prob", "true",
                 "norm_topk_prob: true is not supported for this architecture: implementations differ in what it means",
                 "DeepseekV2");
  expect_refused("topk_method", "\"noaux_tc\"", "topk_method: \"noaux_tc\" is not supported; greedy and group_limited_greedy are",
                 "DeepseekV2");
}

TEST(Config, ReadsDeepseekV3) {
  const ModelConfig c = read("DeepseekV3", {{"auto_map", "{}"},
                                            {"attention_bias", "false"},
                                            {"aux_loss_alpha", "0.001"},
                                            {"ep_size", "1"},
                                            {"first_k_dense_replace", "1"},
                                            {"head_dim", "64"},
                                            {"kv_lora_rank", "512"},
                                            {"q_lora_rank", "1536"},
                                            {"qk_head_dim", "192"},
                                            {"qk_nope_head_dim", "128"},
                                            {"qk_rope_head_dim", "64"},
                                            {"v_head_dim", "128"},
                                            {"n_routed_experts", "256"},
                                            {"n_shared_experts", "1"},
                                            {"num_experts_per_tok", "8"},
                                            {"moe_intermediate_size", "2048"},
                                            {"moe_layer_freq", "1"},
                                            {"n_group", "8"},
                                            {"topk_group", "4"},
                                            {"norm_topk_prob", "true"},
                                            {"num_nextn_predict_layers", "1"},
                                            {"routed_scaling_factor", "2.5"},
                                            {"rope_interleave", "true"},
                                            {"rope_scaling", R"({"type": "yarn", "factor": 40, "beta_fast": 32, "beta_slow": 1,
        "mscale": 1.0, "mscale_all_dim": 1.0, "original_max_position_embeddings": 4096})"},
                                            {"scoring_func", "\"sigmoid\""},
                                            {"seq_aux", "true"},
                                            {"topk_method", "\"noaux_tc\""}});
  EXPECT_EQ(c.spec.arch, Arch::deepseek_v3);
  EXPECT_EQ(c.spec.attn, (model::AttnSpec{.heads = 4,
                                          .kv_heads = 4,
                                          .head_dim = 192,
                                          .latent = {.rank = 512, .rope = 64, .nope = 128, .value = 128, .q_rank = 1536}}));
  EXPECT_EQ(c.spec.moe, (model::MoeSpec{.experts = 256,
                                        .top_k = 8,
                                        .d_ff = 2048,
                                        .renormalise = 1,
                                        .groups = 8,
                                        .top_groups = 4,
                                        .shared = 1,
                                        .dense_layers = {0}}));
  EXPECT_EQ(c.spec.mtp_layers, 1);
  EXPECT_EQ(c.numbers.routed_scale, 2.5f);
  EXPECT_NEAR(c.numbers.attn_scale, 0.1352338, 1e-6) << "the published value";
  EXPECT_TRUE(c.unknown_keys.empty()) << c.unknown_keys[0];
  EXPECT_EQ(read("DeepseekV3", {{"num_hidden_layers", "4"}}).spec.moe.dense_layers, (model::LayerSet{0, 1, 2}));
  expect_refused("rope_interleave", "false", "rope_interleave: false is not supported: neighbouring channels rotate together",
                 "DeepseekV3");
  expect_refused("qk_rope_head_dim", "63", "qk_rope_head_dim: 63 is odd; rotary embedding pairs channels", "DeepseekV3");
  expect_refused("kv_lora_rank", "0", "kv_lora_rank: expected 2 to 1024, found 0", "DeepseekV3");
}

TEST(Config, RefusesGroupsThatCannotBe) {
  expect_refused("n_group", "7", "n_group: 128 experts are not 7 equal groups", "Glm4Moe");
  expect_refused("topk_group", "2", "topk_group: 2 of 1 groups cannot be chosen", "Glm4Moe");
  EXPECT_EQ(error("Glm4Moe", {{"n_group", "32"}, {"topk_group", "1"}}),
            "config.json: topk_group: 1 groups hold fewer experts than the 8 to choose");
  expect_refused("n_shared_experts", "0", "n_shared_experts: expected 1 to 64, found 0", "Glm4Moe");
  expect_refused("scoring_func", "\"softmax\"", "scoring_func: \"softmax\" is not supported for this architecture; sigmoid is",
                 "Glm4Moe");
  expect_refused("partial_rotary_factor", "0.02",
                 "partial_rotary_factor: 1 of 64 channels would rotate; rotary embedding pairs channels", "Glm4Moe");
}

TEST(Config, LayersWithoutExperts) {
  const auto dense = [](const char* step, const char* only) {
    return read("Qwen3Moe", {{"num_hidden_layers", "6"}, {"decoder_sparse_step", step}, {"mlp_only_layers", only}})
        .spec.moe.dense_layers;
  };
  EXPECT_EQ(dense("1", "[]"), model::LayerSet{});
  EXPECT_EQ(dense("1", "[0, 5]"), (model::LayerSet{0, 5}));
  EXPECT_EQ(dense("2", "[]"), (model::LayerSet{0, 2, 4}));
  EXPECT_EQ(dense("3", "[2, 3]"), (model::LayerSet{0, 1, 2, 3, 4}));
  const auto refused = [](const char* only) { return error("Qwen3Moe", {{"mlp_only_layers", only}}); };
  EXPECT_EQ(refused("[1, 2]"), "config.json: mlp_only_layers: there is no layer 2 of 2");
  EXPECT_EQ(refused("[-1]"), "config.json: mlp_only_layers: there is no layer -1 of 2");
  EXPECT_NE(refused("3"), "");
  EXPECT_NE(refused("[\"1\"]"), "");
}

TEST(Config, RefusesMixturesThatCannotBe) {
  expect_refused("num_experts_per_tok", "9", "num_experts_per_tok: 9 of 8 experts cannot be chosen", "Mixtral");
  expect_refused("num_local_experts", "0", "num_local_experts: expected 1 to 1024, found 0", "Mixtral");
  expect_refused("num_experts", "100000", "num_experts: expected 1 to 1024, found 100000", "Qwen3Moe");
  expect_refused("moe_intermediate_size", "0", "moe_intermediate_size: expected 1 to 1048576, found 0", "Qwen3Moe");
  expect_refused("decoder_sparse_step", "0", "decoder_sparse_step: expected 1 to 1024, found 0", "Qwen3Moe");
}

TEST(Config, ReadsTheModernStyle) {
  const ModelConfig c = read_config(data + "demo");
  EXPECT_EQ(c.spec.d_model, 320);
  EXPECT_EQ(c.spec.layers, 9);
  EXPECT_EQ(c.spec.attn.heads, 5);
  EXPECT_EQ(c.spec.attn.head_dim, 64);
  EXPECT_EQ(c.numbers.rope, (RopeConfig{.theta = 10000, .rotary_dim = 64}));
  EXPECT_EQ(c.bos_token_id, 0);
  EXPECT_TRUE(c.unknown_keys.empty()) << c.unknown_keys[0];
  const auto rope = [](const char* parameters) { return read("Llama", {{"rope_parameters", parameters}}).numbers.rope; };
  EXPECT_EQ(rope(R"({"rope_type":"default","rope_theta":5e5})").theta, 5e5);
  EXPECT_EQ(rope(R"({"full_attention":{"rope_type":"linear","factor":2,"rope_theta":3e4}})"),
            (RopeConfig{.kind = RopeConfig::Kind::linear, .theta = 3e4, .factor = 2, .rotary_dim = 64}));
  EXPECT_EQ(read("Llama", {{"dtype", "\"float32\""}}).dtype, DType::f32);
  EXPECT_EQ(read("Llama", {{"torch_dtype", "\"float16\""}}).dtype, DType::f16);
}

TEST(Config, DefaultsFollowTheArchitecture) {
  EXPECT_EQ(read("Qwen3", {}).spec.attn.head_dim, 128);
  EXPECT_EQ(read("Llama", {}).spec.attn.head_dim, 64);
  EXPECT_EQ(read("Llama", {{"head_dim", "32"}}).spec.attn.head_dim, 32);
  EXPECT_EQ(read("Qwen2", {{"head_dim", "32"}}).spec.attn.head_dim, 32);
  EXPECT_EQ(read("Llama", {{"num_key_value_heads", "null"}}).spec.attn.kv_heads, 4);
  const ModelConfig c = read("Llama", {});
  EXPECT_EQ(c.numbers.rope.theta, 10000);
  EXPECT_EQ(c.numbers.rms_eps, 1e-6f);
  EXPECT_EQ(c.bos_token_id, -1);
  EXPECT_TRUE(c.eos_token_ids.empty());
  EXPECT_FALSE(c.spec.tied);
}

TEST(Config, ReadsBiases) {
  const auto llama = read("Llama", {{"attention_bias", "true"}, {"mlp_bias", "true"}}).spec;
  EXPECT_EQ(llama.attn.qkv_bias, 1);
  EXPECT_EQ(llama.attn.o_bias, 1);
  EXPECT_EQ(llama.mlp_bias, 1);
  const auto qwen3 = read("Qwen3", {{"attention_bias", "true"}}).spec;
  EXPECT_EQ(qwen3.attn.qkv_bias, 1);
  EXPECT_EQ(qwen3.attn.o_bias, 1);
}

TEST(Config, ReadsListsOfEndTokens) {
  EXPECT_EQ(read("Llama", {{"eos_token_id", "[7,8,9]"}}).eos_token_ids, (std::vector{7, 8, 9}));
  EXPECT_EQ(read("Llama", {{"eos_token_id", "7"}}).eos_token_ids, std::vector{7});
  EXPECT_TRUE(read("Llama", {{"eos_token_id", "null"}}).eos_token_ids.empty());
}

TEST(Config, FallsBackToModelType) {
  EXPECT_EQ(read("x", {{"architectures", "null"}, {"model_type", "\"qwen2\""}}).spec.arch, Arch::qwen2);
  EXPECT_EQ(read("x", {{"architectures", "[]"}, {"model_type", "\"llama\""}}).spec.arch, Arch::llama);
  const std::string supported =
      "; supported: LlamaForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM, "
      "MixtralForCausalLM, Qwen3MoeForCausalLM, Glm4MoeForCausalLM, DeepseekV2ForCausalLM, DeepseekV3ForCausalLM, "
      "GptOssForCausalLM, Qwen3NextForCausalLM, MistralForCausalLM";
  EXPECT_EQ(error("x", {{"architectures", "null"}}), "config.json: model_type: missing" + supported);
  EXPECT_EQ(error("GPT2", {{"model_type", "\"llama\""}}),
            "config.json: architectures: \"GPT2ForCausalLM\" is not supported" + supported)
      << "model_type never overrules architectures";
  EXPECT_EQ(error("x", {{"architectures", "\"LlamaForCausalLM\""}}),
            "config.json: architectures: expected an array, found a string");
  EXPECT_EQ(error("x", {{"architectures", "[1]"}}), "config.json: architectures: expected a string, found an integer");
}

TEST(Bad06, FieldsOutOfRangeAreRefused) {
  for (const char* n : {"0", "-1", "1000000000"}) {
    expect_refused("num_hidden_layers", n, std::string("num_hidden_layers: expected 1 to 1024, found ") + n);
    expect_refused("num_attention_heads", n, std::string("num_attention_heads: expected 1 to 1024, found ") + n);
    expect_refused("num_key_value_heads", n, std::string("num_key_value_heads: expected 1 to 1024, found ") + n);
    expect_refused("hidden_size", n, std::string("hidden_size: expected 1 to 131072, found ") + n);
    expect_refused("intermediate_size", n, std::string("intermediate_size: expected 1 to 1048576, found ") + n);
    expect_refused("vocab_size", n, std::string("vocab_size: expected 1 to 16777216, found ") + n);
    expect_refused("max_position_embeddings", n, std::string("max_position_embeddings: expected 1 to 268435456, found ") + n);
    expect_refused("head_dim", n, std::string("head_dim: expected 2 to 1024, found ") + n);
  }
  expect_refused("head_dim", "33", "head_dim: 33 is odd; rotary embedding pairs channels");
  expect_refused("num_key_value_heads", "3", "num_key_value_heads: 4 heads cannot be shared by 3");
  expect_refused("num_key_value_heads", "8", "num_key_value_heads: 4 heads cannot be shared by 8");
  expect_refused("hidden_size", "258", "num_attention_heads: hidden_size 258 over 4 heads is no even head_dim of 2 to 1024");
  expect_refused("hidden_size", "12", "num_attention_heads: hidden_size 12 over 4 heads is no even head_dim of 2 to 1024");
  expect_refused("hidden_size", "8192", "num_attention_heads: hidden_size 8192 over 4 heads is no even head_dim of 2 to 1024");
  expect_refused("rms_norm_eps", "-1e-6", "rms_norm_eps: expected 1e-12 to 0.1, found -1e-06");
  expect_refused("rms_norm_eps", "0", "rms_norm_eps: expected 1e-12 to 0.1, found 0");
  for (const char* theta : {"-10000", "0", "1"})
    expect_refused("rope_theta", theta, std::string("rope_theta: expected 2 to 1e+12, found ") + theta);
  expect_refused("bos_token_id", "1000", "bos_token_id: expected 0 to 999, found 1000");
  expect_refused("eos_token_id", "[1,-2]", "eos_token_id: -2 is no token id");
  expect_refused("vocab_size", "99999999999999999999", "vocab_size: expected an integer of 64 bits, found 1e+20");
}

TEST(Bad06, WrongTypesAreRefused) {
  expect_refused("hidden_size", "\"256\"", "hidden_size: expected an integer, found a string");
  expect_refused("hidden_size", "256.5", "hidden_size: expected an integer of 64 bits, found 256.5");
  expect_refused("num_hidden_layers", "[2]", "num_hidden_layers: expected an integer, found an array");
  expect_refused("tie_word_embeddings", "1", "tie_word_embeddings: expected true or false, found an integer");
  expect_refused("attention_bias", "\"yes\"", "attention_bias: expected true or false, found a string");
  expect_refused("rms_norm_eps", "{}", "rms_norm_eps: expected a number, found an object");
  expect_refused("torch_dtype", "16", "torch_dtype: expected a string, found an integer");
  expect_refused("eos_token_id", "\"</s>\"", "eos_token_id: expected an integer, found a string");
  expect_refused("rope_scaling", "[]", "rope_scaling: expected an object, found an array");
  expect_refused("layer_types", "\"full_attention\"", "layer_types: expected an array, found a string");
  EXPECT_EQ(error_of([] { static_cast<void>(read("[]")); }), "config.json: expected an object, found an array");
}

TEST(Bad06, FieldsWithoutASafeDefaultAreRequired) {
  for (const char* key :
       {"hidden_size", "intermediate_size", "vocab_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings"}) {
    expect_refused(key, "null", std::string(key) + ": missing");
  }
}

TEST(Bad06, AllProblemsAreListedAtOnce) {
  EXPECT_EQ(error("Llama",
                  {{"hidden_size", "0"}, {"vocab_size", "null"}, {"hidden_act", "\"gelu\""}, {"rope_scaling", R"({"type":"x"})"}}),
            "config.json: 4 problems\n"
            "  hidden_size: expected 1 to 131072, found 0\n"
            "  vocab_size: missing\n"
            "  rope_scaling: rope_type: \"x\" is not supported; default, linear, llama3 and yarn are\n"
            "  hidden_act: \"gelu\" is not supported; silu is");
}

TEST(Bad06, WhatWouldChangeTheResultIsRefused) {
  expect_refused("hidden_act", "\"gelu\"", "hidden_act: \"gelu\" is not supported; silu is");
  expect_refused("quantization_config", "{\"quant_method\":\"fp8\"}",
                 "quantization_config: quantised checkpoints are not supported; use the original bfloat16 checkpoint");
  expect_refused("torch_dtype", "\"float8\"", "torch_dtype: \"float8\" is not supported; bfloat16, float16 and float32 are");
  expect_refused("partial_rotary_factor", "0.5",
                 "partial_rotary_factor: rotating part of a head is not supported for this architecture");
  expect_refused("layer_types", R"(["full_attention","sliding_attention"])",
                 "sliding_window: missing, and layer_types has sliding_attention");
  expect_refused("layer_types", R"(["full_attention","chunked_attention"])",
                 "layer_types: \"chunked_attention\" is not supported; full_attention and sliding_attention are");
  expect_refused("layer_types", R"(["full_attention"])", "layer_types: has 1 entries for 2 layers");
  expect_refused("rope_interleaved", "true", "rope_interleaved: true is not supported");
  EXPECT_TRUE(read("Qwen2", {{"use_mrope", "false"}}).unknown_keys.empty());
  EXPECT_NO_THROW(static_cast<void>(read("Llama", {{"partial_rotary_factor", "1.0"}, {"pretraining_tp", "2"}})));
}

TEST(Config, WindowsByLayer) {
  const auto attn = [](const std::string& architecture, const std::vector<std::pair<std::string, std::string>>& changes) {
    auto all = changes;
    all.emplace_back("num_hidden_layers", "4");
    return read(architecture, all).spec.attn;
  };
  const auto expect = [](const model::AttnSpec& a, int window, const model::LayerSet& layers) {
    EXPECT_EQ(a.window, window);
    EXPECT_EQ(a.windowed, layers);
  };
  const std::pair<std::string, std::string> used{"use_sliding_window", "true"}, window{"sliding_window", "1024"},
      types{"layer_types", R"(["sliding_attention","full_attention","full_attention","sliding_attention"])"};
  for (const char* architecture : {"Mistral", "Mixtral"}) {
    expect(attn(architecture, {window}), 1024, {0, 1, 2, 3});
    expect(attn(architecture, {{"sliding_window", "null"}}), 0, {});
    expect(attn(architecture, {{"sliding_window", "4096"}}), 0, {});  // as wide as the context
    expect(attn(architecture, {window, types}), 1024, {0, 3});
  }
  for (const char* architecture : {"Qwen2", "Qwen3"}) {
    expect(attn(architecture, {used, window, {"max_window_layers", "3"}}), 1024, {3});
    expect(attn(architecture, {used, window, {"max_window_layers", "4"}}), 0, {});
    expect(attn(architecture, {used, window}), 0, {});  // published files begin after the last layer
    expect(attn(architecture, {window, {"max_window_layers", "0"}}), 0, {});
    expect(attn(architecture, {used, {"sliding_window", "null"}, {"max_window_layers", "0"}}), 0, {});
    expect(attn(architecture, {used, window, types}), 1024, {0, 3});
    EXPECT_EQ(error(architecture, {window, {"layer_types", R"(["sliding_attention","full_attention"])"}}),
              "config.json: layer_types: has sliding_attention, and use_sliding_window is false");
  }
  expect(attn("Qwen3Moe", {used, window, {"max_window_layers", "3"}}), 1024, {0, 1, 2, 3});
  expect(attn("Llama", {window, types}), 1024, {0, 3});
  expect(attn("Llama", {window}), 0, {});
  expect(attn("GptOss", {window}), 1024, {0, 2});
  expect(attn("GptOss", {window, types}), 1024, {0, 3});
  EXPECT_EQ(error("GptOss", {}), "config.json: sliding_window: missing");
}

TEST(Config, ReadsGptOss) {
  const ModelConfig c = read_config(data + "gpt_oss");
  EXPECT_EQ(c.spec.arch, Arch::gpt_oss);
  EXPECT_EQ(
      c.spec.attn,
      (model::AttnSpec{.heads = 4, .kv_heads = 2, .head_dim = 64, .qkv_bias = 1, .o_bias = 1, .window = 16, .windowed = {0}}));
  EXPECT_EQ(c.spec.moe, (model::MoeSpec{.experts = 8, .top_k = 4, .d_ff = 64, .renormalise = 1}));
  EXPECT_FALSE(c.numbers.rope.truncate);
  EXPECT_TRUE(c.unknown_keys.empty());
  const ModelConfig blocks = read_config(data + "gpt_oss_mxfp4");
  EXPECT_EQ(blocks.spec, c.spec);
  EXPECT_TRUE(blocks.unknown_keys.empty());
  const ModelConfig alias = read("GptOss", {{"sliding_window", "128"}, {"experts_per_token", "3"}, {"head_dim", "null"}});
  EXPECT_EQ(alias.spec.moe.top_k, 3);
  EXPECT_EQ(alias.spec.attn.head_dim, 64);
  const auto refused = [](const char* key, const char* value) {
    return error("GptOss", {{"sliding_window", "128"}, {key, value}});
  };
  EXPECT_EQ(refused("attention_bias", "false"), "config.json: attention_bias: false is not supported for this architecture");
  EXPECT_EQ(refused("swiglu_limit", "10.0"), "config.json: swiglu_limit: only 7 is supported");
  EXPECT_EQ(refused("quantization_config", R"({"quant_method":"fp8"})"),
            "config.json: quantization_config: quantised checkpoints are not supported; use the original bfloat16 checkpoint");
}

TEST(Config, ReadsQwen3Next) {
  const ModelConfig c = read_config(data + "qwen3_next");
  EXPECT_EQ(c.spec.arch, Arch::qwen3_next);
  EXPECT_EQ(c.spec.attn, (model::AttnSpec{.heads = 2, .kv_heads = 1, .head_dim = 256, .qk_norm = true}));
  EXPECT_EQ(c.spec.moe, (model::MoeSpec{.experts = 4, .top_k = 2, .d_ff = 32, .renormalise = 1, .shared = 1}));
  EXPECT_EQ(c.spec.delta,
            (model::DeltaSpec{.key_heads = 2, .value_heads = 4, .key_dim = 32, .value_dim = 32, .taps = 4, .layers = {0, 1, 2}}));
  EXPECT_EQ(c.numbers.rope.rotary_dim, 64);
  EXPECT_TRUE(c.unknown_keys.empty());

  const auto with = [](std::vector<std::pair<std::string, std::string>> changes) {
    changes.emplace_back("num_hidden_layers", "6");
    return read("Qwen3Next", changes).spec;
  };
  const model::ModelSpec plain = with({});
  EXPECT_EQ(plain.attn.head_dim, 256);
  EXPECT_EQ(plain.delta,
            (model::DeltaSpec{
                .key_heads = 16, .value_heads = 32, .key_dim = 128, .value_dim = 128, .taps = 4, .layers = {0, 1, 2, 4, 5}}));
  EXPECT_EQ(plain.moe, (model::MoeSpec{.experts = 512, .top_k = 10, .d_ff = 512, .renormalise = 1, .shared = 1}));
  EXPECT_EQ(with({{"full_attention_interval", "2"}}).delta.layers, (model::LayerSet{0, 2, 4}));
  EXPECT_EQ(with({{"shared_expert_intermediate_size", "1024"}, {"mlp_only_layers", "[1]"}}).moe.shared, 2);

  const auto refused = [](const char* key, const char* value) {
    return error("Qwen3Next", {{"num_hidden_layers", "6"}, {key, value}});
  };
  EXPECT_EQ(refused("full_attention_interval", "7"),
            "config.json: full_attention_interval: all layers are of one kind; this architecture has both full_attention and "
            "linear_attention");
  EXPECT_EQ(refused("layer_types", R"(["full_attention"])"), "config.json: layer_types: has 1 entries for 6 layers");
  EXPECT_EQ(error("Qwen3Next", {{"layer_types", R"(["linear_attention","sliding_attention"])"}}),
            "config.json: layer_types: \"sliding_attention\" is not supported; full_attention and linear_attention are");
  EXPECT_EQ(refused("use_sliding_window", "true"), "config.json: use_sliding_window: true is not supported for this architecture");
  EXPECT_EQ(refused("linear_num_value_heads", "24"),
            "config.json: linear_num_value_heads: 24 value heads cannot be shared out to 16 key heads");
  EXPECT_EQ(refused("shared_expert_intermediate_size", "700"),
            "config.json: shared_expert_intermediate_size: 700 is no multiple of moe_intermediate_size 512");
  for (const auto& [key, value] :
       {std::pair{"linear_conv_kernel_dim", "9"}, {"linear_key_head_dim", "257"}, {"linear_num_key_heads", "0"}})
    EXPECT_NE(refused(key, value).find(key), std::string::npos) << key;
}

TEST(Bad06, UnknownKeysAreReported) {
  const ModelConfig c = read("Llama", {{"logit_scale", "0.5"}, {"use_cache", "true"}, {"new_in_2030", "{}"}, {"nothing", "null"}});
  EXPECT_EQ(c.unknown_keys, (std::vector<std::string>{"logit_scale", "new_in_2030"}));
  EXPECT_EQ(read("Qwen2", {{"mlp_bias", "true"}}).unknown_keys, std::vector<std::string>{"mlp_bias"}) << "not a key of this one";
}

RopeConfig rope(const char* scaling) { return read("Llama", {{"rope_theta", "1e6"}, {"rope_scaling", scaling}}).numbers.rope; }
void expect_rope_refused(const char* scaling, const std::string& message) {
  SCOPED_TRACE(scaling);
  EXPECT_EQ(error("Llama", {{"rope_scaling", scaling}}), "config.json: rope_scaling: " + message);
}

TEST(Config, ReadsRopeScaling) {
  EXPECT_EQ(rope("null"), (RopeConfig{.theta = 1e6, .rotary_dim = 64}));
  EXPECT_EQ(rope("{}"), rope("null"));
  EXPECT_EQ(rope(R"({"rope_type":"default","original_max_position_embeddings":1024})"), rope("null")) << "means nothing here";
  EXPECT_EQ(rope(R"({"type":"linear","factor":4})"),
            (RopeConfig{.kind = RopeConfig::Kind::linear, .theta = 1e6, .factor = 4, .rotary_dim = 64}));
  RopeConfig yarn{.kind = RopeConfig::Kind::yarn, .theta = 1e6, .factor = 4, .original_max_position = 1024, .rotary_dim = 64};
  EXPECT_EQ(rope(R"({"rope_type":"yarn","factor":4.0,"original_max_position_embeddings":1024})"), yarn);
  EXPECT_EQ(rope(R"({"rope_type":"yarn","original_max_position_embeddings":1024})"), yarn) << "factor from the context lengths";
  yarn.beta_fast = 16;
  yarn.beta_slow = 2;
  yarn.attention_factor = 1.25;
  yarn.mscale = 0.707;
  yarn.mscale_all_dim = 1;
  yarn.truncate = false;
  EXPECT_EQ(rope(R"({"type":"yarn","factor":4,"original_max_position_embeddings":1024,"beta_fast":16,"beta_slow":2,
                     "attention_factor":1.25,"mscale":0.707,"mscale_all_dim":1,"truncate":false})"),
            yarn);
  EXPECT_EQ(read("Llama", {{"original_max_position_embeddings", "1024"}, {"rope_scaling", R"({"type":"yarn","factor":4})"}})
                .numbers.rope.original_max_position,
            1024);
  EXPECT_EQ(read("Llama", {{"rope_scaling", R"({"type":"yarn","factor":4})"}}).numbers.rope.original_max_position, 4096);
}

TEST(Bad06, BrokenRopeScalingIsRefused) {
  for (const char* type : {"dynamic", "longrope", "su", "mrope", ""}) {
    expect_rope_refused((R"({"rope_type":")" + std::string(type) + R"(","factor":2})").c_str(),
                        "rope_type: \"" + std::string(type) + "\" is not supported; default, linear, llama3 and yarn are");
  }
  expect_rope_refused(R"({"type":"linear"})", "factor: missing");
  expect_rope_refused(R"({"type":"linear","factor":0})", "factor: expected 1 to 1e+06, found 0");
  expect_rope_refused(R"({"type":"linear","factor":-8})", "factor: expected 1 to 1e+06, found -8");
  expect_rope_refused(R"({"type":"linear","factor":"2"})", "factor: expected a number, found a string");
  expect_rope_refused(R"({"type":"linear","factor":2,"alpha":1})", "\"alpha\": not understood, and it may change the result");
  expect_rope_refused(R"({"rope_type":"default","mrope_section":[1]})",
                      "\"mrope_section\": not understood, and it may change the result");
  expect_rope_refused(R"({"type":1})", "type: expected a string, found an integer");
  expect_rope_refused(R"({"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4})",
                      "original_max_position_embeddings: missing");
  expect_rope_refused(
      R"({"rope_type":"llama3","factor":8,"low_freq_factor":4,"high_freq_factor":4,"original_max_position_embeddings":64})",
      "high_freq_factor: must be above low_freq_factor");
  expect_rope_refused(R"({"rope_type":"yarn","factor":2,"beta_fast":1,"beta_slow":32})", "beta_fast: must not be below beta_slow");
  expect_rope_refused(R"({"rope_type":"yarn","factor":2,"original_max_position_embeddings":0})",
                      "original_max_position_embeddings: expected 1 to 268435456, found 0");
  expect_rope_refused(R"({"rope_type":"default","partial_rotary_factor":0.25})",
                      "partial_rotary_factor: rotating part of a head is not supported for this architecture");
  expect_rope_refused(R"({"sliding_attention":{"rope_theta":1e4},"full_attention":{"rope_theta":1e6}})",
                      "\"sliding_attention\": a rope for each layer type is not supported; only full_attention is");
}

TEST(Config, MessagesNameThePath) {
  const test::TempDir dir;
  dir.write("config.json", file("Llama", {{"vocab_size", "0"}}));
  EXPECT_EQ(error_of([&] { static_cast<void>(read_config(dir.path())); }),
            dir.path() + "/config.json: vocab_size: expected 1 to 16777216, found 0");
  EXPECT_EQ(error_of([&] { static_cast<void>(read_config(dir.path() + "/absent")); }),
            dir.path() + "/absent/config.json: cannot open: No such file or directory");
}

}  // namespace
}  // namespace atom::engine
