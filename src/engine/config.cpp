#include "atom/engine/config.hpp"

#include <algorithm>
#include <cmath>

#include "atom/engine/json.hpp"
#include "atom/ops/activation_op.hpp"
#include "atom/ops/delta_net_op.hpp"
#include "atom/ops/moe_op.hpp"

#include "fields.hpp"
#include "problems.hpp"
#include "rope_config.hpp"

namespace atom::engine {
namespace {

using model::Arch;
using model::RopeConfig;

void read_llama(Fields&, ModelConfig&);
void read_qwen2(Fields&, ModelConfig&);
void read_qwen3(Fields&, ModelConfig&);
void read_mixtral(Fields&, ModelConfig&);
void read_qwen3_moe(Fields&, ModelConfig&);
void read_glm4_moe(Fields&, ModelConfig&);
void read_deepseek_v2(Fields&, ModelConfig&);
void read_deepseek_v3(Fields&, ModelConfig&);
void read_gpt_oss(Fields&, ModelConfig&);
void read_qwen3_next(Fields&, ModelConfig&);
void read_mistral(Fields&, ModelConfig&);

constexpr int of_latent = -1;
struct Architecture {
  std::string_view name, model_type;
  Arch arch;
  int head_dim;                         // where the file gives none; 0: d_model / heads; of_latent: of latent attention
  void (*read)(Fields&, ModelConfig&);  // what this architecture has of its own
  double rotary_share = 1;              // of a head's channels; where it is not 1, the file may say otherwise
  bool mxfp4_experts = false;           // the loader may unpack them
};
constexpr Architecture architectures[] = {
    {"LlamaForCausalLM", "llama", Arch::llama, 0, read_llama},
    {"Qwen2ForCausalLM", "qwen2", Arch::qwen2, 0, read_qwen2},
    {"Qwen3ForCausalLM", "qwen3", Arch::qwen3, 128, read_qwen3},
    {"MixtralForCausalLM", "mixtral", Arch::mixtral, 0, read_mixtral},
    {"Qwen3MoeForCausalLM", "qwen3_moe", Arch::qwen3_moe, 0, read_qwen3_moe},
    {"Glm4MoeForCausalLM", "glm4_moe", Arch::glm4_moe, 0, read_glm4_moe, 0.5},
    {"DeepseekV2ForCausalLM", "deepseek_v2", Arch::deepseek_v2, of_latent, read_deepseek_v2},
    {"DeepseekV3ForCausalLM", "deepseek_v3", Arch::deepseek_v3, of_latent, read_deepseek_v3},
    {"GptOssForCausalLM", "gpt_oss", Arch::gpt_oss, 64, read_gpt_oss, 1, true},
    {"Qwen3NextForCausalLM", "qwen3_next", Arch::qwen3_next, 256, read_qwen3_next, 0.25},
    {"MistralForCausalLM", "mistral", Arch::llama, 0, read_mistral},
};

/// Keys of config.json that change nothing here: bookkeeping, training, generation defaults of old files.
constexpr std::string_view informative[] = {
    "_name_or_path", "transformers_version", "use_cache", "tokenizer_class", "task_specific_params", "pad_token_id", "unk_token_id",
    "is_llama_config", "transformers.js_config", "auto_map",
    // training
    "router_aux_loss_coef", "router_jitter_noise", "output_router_logits", "attention_dropout", "hidden_dropout", "aux_loss_alpha",
    "seq_aux", "initializer_range", "gradient_checkpointing", "unsloth_fixed", "unsloth_version",
    // how frameworks split or call the computation, not what it is; pretraining_tp is one of them
    "pretraining_tp", "ep_size", "_attn_implementation", "_attn_implementation_autoset", "attn_implementation", "torchscript",
    "return_dict", "output_attentions", "output_hidden_states", "chunk_size_feed_forward", "is_decoder", "is_encoder_decoder",
    // generation_config.json has replaced these
    "do_sample", "temperature", "top_k", "top_p", "max_length", "min_length"};

const Architecture& architecture_of(Fields& fields, const Json& config) {
  std::string_view key = "architectures";
  std::string name;
  const std::string type = fields.text("model_type", "");
  if (const Json* list = fields.find(key); list && !list->as_array(key).empty()) {
    name = list->as_array(key)[0].as_string(key);
  } else {
    key = "model_type";
    name = type;
  }
  std::string known;
  for (const Architecture& a : architectures) {
    if (name == a.name || (key == "model_type" && name == a.model_type)) return a;
    known += (known.empty() ? "" : ", ") + std::string(a.name);
  }
  throw Error(std::string(config.where()) + ": " + std::string(key) + ": " +
              (name.empty() ? "missing" : in_quotes(name) + " is not supported") + "; supported: " + known);
}

DType read_dtype(Fields& fields) {
  const std::string older = fields.text("torch_dtype", "bfloat16"), name = fields.text("dtype", older);
  if (name == "bfloat16") return DType::bf16;
  if (name == "float16") return DType::f16;
  if (name == "float32") return DType::f32;
  fields.problem(fields.find("dtype") ? "dtype" : "torch_dtype",
                 in_quotes(name) + " is not supported; bfloat16, float16 and float32 are");
  return DType::bf16;
}

/// Which layers see a window of the context only. layer_types, where given, decides; otherwise `from`, the first layer of several
/// that do, as published files of the architecture mean it. A window as long as the context is none.
void read_window(Fields& fields, ModelConfig& c, bool used, int from) {
  const int layers = c.spec.layers, window = fields.integer("sliding_window", non_negative, 0);
  const std::string_view key = "layer_types";
  const std::vector<std::string> types = fields.texts(key);
  model::LayerSet windowed;
  if (types.empty()) {
    for (int layer = from; used && layer < layers; ++layer) windowed.add(layer);
  } else if (layers > 0 && types.size() != static_cast<std::size_t>(layers)) {
    fields.problem(key, "has " + std::to_string(types.size()) + " entries for " + std::to_string(layers) + " layers");
    return;
  }
  for (std::size_t layer = 0; layer < types.size(); ++layer) {
    if (types[layer] == "sliding_attention") {
      windowed.add(static_cast<int>(layer));
    } else if (types[layer] != "full_attention") {
      fields.problem(key, in_quotes(types[layer]) + " is not supported; full_attention and sliding_attention are");
      return;
    }
  }
  if (windowed == model::LayerSet{} || (types.empty() && window == 0)) return;
  if (window == 0) return fields.problem("sliding_window", "missing, and layer_types has sliding_attention");
  if (window >= c.numbers.max_position) return;
  c.spec.attn.window = window;
  c.spec.attn.windowed = windowed;
}

void refuse_unsupported(Fields& fields, const Architecture& architecture) {
  if (const std::string act = fields.text("hidden_act", "silu"); act != "silu" && act != "swish") {
    fields.problem("hidden_act", in_quotes(act) + " is not supported; silu is");
  }
  for (const std::string_view key : {"use_mrope", "rope_interleaved"}) {
    if (fields.flag(key, false)) fields.problem(key, "true is not supported");
  }
  for (const std::string_view key : {"quantization_config", "compression_config"}) {
    const Json* scheme = fields.object(key);
    if (!scheme) continue;
    Fields quantised(*scheme, fields.problems(), std::string(key) + ": ");
    const std::string method = quantised.text("quant_method", "");
    if (!architecture.mxfp4_experts || method != "mxfp4") {
      fields.problem(key, "quantised checkpoints are not supported; use the original bfloat16 checkpoint");
    }
  }
}

/// Returns the width of queries and keys. Files give others too, by names that say less.
int read_latent(Fields& fields, model::LatentSpec& l) {
  constexpr Range<int> width{2, 1024};
  l.q_rank = fields.integer("q_lora_rank", {1, 1 << 14}, 0);
  l.rank = fields.integer("kv_lora_rank", width, 512);
  l.rope = fields.integer("qk_rope_head_dim", width, 64);
  l.nope = fields.integer("qk_nope_head_dim", width, 128);
  l.value = fields.integer("v_head_dim", width, 128);
  if (l.rope % 2 != 0) fields.problem("qk_rope_head_dim", std::to_string(l.rope) + " is odd; rotary embedding pairs channels");
  static_cast<void>(fields.find("head_dim"));
  static_cast<void>(fields.find("qk_head_dim"));
  return l.nope + l.rope;
}

int read_head_dim(Fields& fields, const Architecture& architecture, model::ModelSpec& spec) {
  if (architecture.head_dim == of_latent) return read_latent(fields, spec.attn.latent);
  constexpr Range<int> accepted{2, 1024};
  const int heads = spec.attn.heads;
  if (fields.find("head_dim") || architecture.head_dim) {
    const int given = fields.integer("head_dim", accepted, architecture.head_dim);
    if (given % 2 != 0) fields.problem("head_dim", std::to_string(given) + " is odd; rotary embedding pairs channels");
    return given;
  }
  if (heads == 0 || spec.d_model == 0) return 0;  // reported already
  const int derived = spec.d_model / heads;
  if (spec.d_model % heads == 0 && derived % 2 == 0 && derived >= accepted.low && derived <= accepted.high) return derived;
  fields.problem("num_attention_heads", "hidden_size " + std::to_string(spec.d_model) + " over " + std::to_string(heads) +
                                            " heads is no even head_dim of 2 to " + std::to_string(accepted.high));
  return 0;
}

/// What every architecture here shares: a decoder of RMSNorm, rotary GQA and SwiGLU.
void read_decoder(Fields& fields, const Architecture& architecture, ModelConfig& c) {
  auto& spec = c.spec;
  auto& attn = spec.attn;
  spec.arch = architecture.arch;
  spec.d_model = fields.integer("hidden_size", {1, 1 << 17});
  spec.d_ff = fields.integer("intermediate_size", {1, 1 << 20});
  spec.vocab = fields.integer("vocab_size", {1, 1 << 24});
  spec.layers = fields.integer("num_hidden_layers", {1, model::most_layers});
  spec.tied = fields.flag("tie_word_embeddings", false);
  attn.heads = fields.integer("num_attention_heads", {1, 1024});
  attn.kv_heads = fields.integer("num_key_value_heads", {1, 1024}, attn.heads);
  if (attn.kv_heads > 0 && attn.heads % attn.kv_heads != 0) {
    fields.problem("num_key_value_heads",
                   std::to_string(attn.heads) + " heads cannot be shared by " + std::to_string(attn.kv_heads));
  }
  attn.head_dim = read_head_dim(fields, architecture, spec);

  auto& numbers = c.numbers;
  numbers.rms_eps = static_cast<float>(fields.number("rms_norm_eps", {1e-12, 0.1}, 1e-6));
  numbers.max_position = fields.integer("max_position_embeddings", {1, 1 << 28});
  const int rotating = attn.latent ? attn.latent.rope : attn.head_dim;
  numbers.rope = read_rope(fields, rotating, numbers.max_position, architecture.rotary_share);
  if (attn.head_dim > 0) numbers.attn_scale = static_cast<float>(1 / std::sqrt(static_cast<double>(attn.head_dim)));

  c.dtype = read_dtype(fields);
  c.eos_token_ids = fields.token_ids("eos_token_id");
  c.bos_token_id = fields.integer("bos_token_id", {0, spec.vocab > 0 ? spec.vocab - 1 : 1 << 24}, -1);
  refuse_unsupported(fields, architecture);
}

void read_llama(Fields& fields, ModelConfig& c) {
  c.spec.attn.qkv_bias = c.spec.attn.o_bias = fields.flag("attention_bias", false);
  c.spec.mlp_bias = fields.flag("mlp_bias", false);
  read_window(fields, c, false, 0);
}

/// Llama, without biases, through a window in every layer where the file gives one.
void read_mistral(Fields& fields, ModelConfig& c) { read_window(fields, c, true, 0); }

/// Published files hold a window that is switched off, or that begins after the last layer.
void read_qwen_window(Fields& fields, ModelConfig& c, int first_otherwise) {
  const bool used = fields.flag("use_sliding_window", false);
  read_window(fields, c, used, fields.integer("max_window_layers", non_negative, first_otherwise));
  if (!used && c.spec.attn.window > 0) fields.problem("layer_types", "has sliding_attention, and use_sliding_window is false");
}

void read_qwen2(Fields& fields, ModelConfig& c) {
  c.spec.attn.qkv_bias = 1;
  read_qwen_window(fields, c, 28);
}

void read_qwen3(Fields& fields, ModelConfig& c) {
  c.spec.attn.qkv_bias = c.spec.attn.o_bias = fields.flag("attention_bias", false);
  c.spec.attn.qk_norm = true;
  read_qwen_window(fields, c, 28);
}

/// `experts`: the key of their number, and what it is where the file does not say.
void read_experts(Fields& fields, model::MoeSpec& moe, std::string_view experts, int default_experts, int default_top_k,
                  std::string_view top_k = "num_experts_per_tok") {
  moe.experts = fields.integer(experts, {1, atom::moe::most_experts}, default_experts);
  moe.top_k = fields.integer(top_k, {1, atom::moe::most_experts}, default_top_k);
  if (moe.top_k > moe.experts) {
    fields.problem(top_k, std::to_string(moe.top_k) + " of " + std::to_string(moe.experts) + " experts cannot be chosen");
  }
}

void read_mixtral(Fields& fields, ModelConfig& c) {
  const bool alias = fields.find("num_experts") && !fields.find("num_local_experts");
  read_experts(fields, c.spec.moe, alias ? "num_experts" : "num_local_experts", 8, 2);
  c.spec.moe.d_ff = c.spec.d_ff;
  c.spec.moe.renormalise = 1;
  read_window(fields, c, true, 0);
}

/// Layers keep a dense MLP where mlp_only_layers names them, and where (layer + 1) is no multiple of decoder_sparse_step.
void read_dense_layers(Fields& fields, model::ModelSpec& spec) {
  const int step = fields.integer("decoder_sparse_step", {1, model::most_layers}, 1);
  for (int layer = 0; layer < spec.layers; ++layer) {
    if ((layer + 1) % step != 0) spec.moe.dense_layers.add(layer);
  }
  constexpr std::string_view key = "mlp_only_layers";
  const Json* list = fields.find(key);
  if (!list) return;
  try {
    for (const Json& item : list->as_array(key)) {
      const std::int64_t layer = item.as_int(key);
      if (layer >= 0 && layer < spec.layers) {
        spec.moe.dense_layers.add(static_cast<int>(layer));
      } else {
        fields.problem(key, "there is no layer " + std::to_string(layer) + " of " + std::to_string(spec.layers));
      }
    }
  } catch (const Error& e) {
    fields.problems().add(e);
  }
}

void read_qwen3_moe(Fields& fields, ModelConfig& c) {
  c.spec.attn.qkv_bias = c.spec.attn.o_bias = fields.flag("attention_bias", false);
  c.spec.attn.qk_norm = true;
  read_experts(fields, c.spec.moe, "num_experts", 128, 8);
  c.spec.moe.d_ff = fields.integer("moe_intermediate_size", {1, 1 << 20}, 768);
  c.spec.moe.renormalise = fields.flag("norm_topk_prob", false);
  read_dense_layers(fields, c.spec);
  static_cast<void>(fields.find("max_window_layers"));  // the window, if any, begins with the first layer
  read_window(fields, c, fields.flag("use_sliding_window", false), 0);
}

/// A mixture under the names that DeepSeek gave it. `otherwise`: what holds where the file says nothing.
void read_grouped_experts(Fields& fields, ModelConfig& c, const model::MoeSpec& otherwise, int first_dense) {
  auto& moe = c.spec.moe;
  read_experts(fields, moe, "n_routed_experts", otherwise.experts, otherwise.top_k);
  moe.d_ff = fields.integer("moe_intermediate_size", {1, 1 << 20}, otherwise.d_ff);
  moe.shared = fields.integer("n_shared_experts", {1, 64}, otherwise.shared);
  moe.groups = fields.integer("n_group", {1, atom::moe::most_experts}, otherwise.groups);
  moe.top_groups = fields.integer("topk_group", {1, atom::moe::most_experts}, otherwise.top_groups);
  if (moe.groups > 0 && moe.experts % moe.groups != 0) {
    fields.problem("n_group", std::to_string(moe.experts) + " experts are not " + std::to_string(moe.groups) + " equal groups");
  } else if (moe.top_groups > moe.groups) {
    fields.problem("topk_group", std::to_string(moe.top_groups) + " of " + std::to_string(moe.groups) + " groups cannot be chosen");
  } else if (moe.groups > 0 && moe.top_k > moe.experts / moe.groups * moe.top_groups && moe.top_k <= moe.experts) {
    fields.problem("topk_group", std::to_string(moe.top_groups) + " groups hold fewer experts than the " +
                                     std::to_string(moe.top_k) + " to choose");
  }
  moe.renormalise = fields.flag("norm_topk_prob", otherwise.renormalise != 0);
  c.numbers.routed_scale = static_cast<float>(fields.number("routed_scaling_factor", {1e-6, 1e6}, 1));
  const int dense = fields.integer("first_k_dense_replace", {0, model::most_layers}, first_dense);
  const int step = fields.integer("moe_layer_freq", {1, model::most_layers}, 1);
  for (int layer = 0; layer < c.spec.layers; ++layer) {
    if (layer < dense || layer % step != 0) moe.dense_layers.add(layer);
  }
  c.spec.mtp_layers = fields.integer("num_nextn_predict_layers", {0, 64}, 0);
}

/// A member that names one way of several, of which this architecture has one.
void expect_text(Fields& fields, std::string_view key, std::string_view only) {
  if (const std::string text = fields.text(key, only); text != only) {
    fields.problem(key, in_quotes(text) + " is not supported for this architecture; " + std::string(only) + " is");
  }
}

/// yarn sharpens scores as it stretches: by the square of what it would scale angles by.
void sharpen(model::Numbers& n) {
  const RopeConfig& r = n.rope;
  if (r.kind != RopeConfig::Kind::yarn || r.factor <= 1) return;
  const double m = 0.1 * r.mscale_all_dim * std::log(r.factor) + 1;
  n.attn_scale = static_cast<float>(static_cast<double>(n.attn_scale) * m * m);
}

/// What the two DeepSeeks share. attention_bias is of what is made of the hidden state, and of the output.
void read_latent_decoder(Fields& fields, ModelConfig& c) {
  c.spec.attn.qkv_bias = c.spec.attn.o_bias = fields.flag("attention_bias", false);
  c.spec.attn.kv_heads = c.spec.attn.heads;  // all share one row
  if (fields.flag("mlp_bias", false)) fields.problem("mlp_bias", "true is not supported for this architecture");
  sharpen(c.numbers);
  read_window(fields, c, false, 0);
  if (c.spec.attn.window > 0) fields.problem("layer_types", "sliding_attention is not supported for this architecture");
}

void read_deepseek_v2(Fields& fields, ModelConfig& c) {
  read_latent_decoder(fields, c);
  read_grouped_experts(fields, c, {.experts = 64, .top_k = 6, .d_ff = 1407, .shared = 2}, 0);
  expect_text(fields, "scoring_func", "softmax");
  const std::string method = fields.text("topk_method", "greedy");
  if (method == "greedy") {  // then groups, if there are any, are of another use
    c.spec.moe.groups = c.spec.moe.top_groups = 1;
  } else if (method != "group_limited_greedy") {
    fields.problem("topk_method", in_quotes(method) + " is not supported; greedy and group_limited_greedy are");
  }
  if (c.spec.moe.renormalise) {
    fields.problem("norm_topk_prob", "true is not supported for this architecture: implementations differ in what it means");
  }
}

void read_deepseek_v3(Fields& fields, ModelConfig& c) {
  read_latent_decoder(fields, c);
  const model::MoeSpec otherwise{
      .experts = 256, .top_k = 8, .d_ff = 2048, .renormalise = 1, .groups = 8, .top_groups = 4, .shared = 1};
  read_grouped_experts(fields, c, otherwise, 3);
  expect_text(fields, "scoring_func", "sigmoid");
  expect_text(fields, "topk_method", "noaux_tc");
  if (!fields.flag("rope_interleave", true)) {
    fields.problem("rope_interleave", "false is not supported: neighbouring channels rotate together");
  }
}

void read_glm4_moe(Fields& fields, ModelConfig& c) {
  c.spec.attn.qkv_bias = fields.flag("attention_bias", false);
  c.spec.attn.qk_norm = fields.flag("use_qk_norm", false);
  read_grouped_experts(fields, c, {.experts = 128, .top_k = 8, .d_ff = 1408, .renormalise = 1, .shared = 1}, 1);
  expect_text(fields, "scoring_func", "sigmoid");
  expect_text(fields, "topk_method", "noaux_tc");
  read_window(fields, c, false, 0);
}

void read_gpt_oss(Fields& fields, ModelConfig& c) {
  c.spec.attn.qkv_bias = c.spec.attn.o_bias = 1;
  if (!fields.flag("attention_bias", true)) fields.problem("attention_bias", "false is not supported for this architecture");
  const bool alias = fields.find("experts_per_token") && !fields.find("num_experts_per_tok");
  read_experts(fields, c.spec.moe, "num_local_experts", 128, 4, alias ? "experts_per_token" : "num_experts_per_tok");
  c.spec.moe.d_ff = c.spec.d_ff;
  c.spec.moe.renormalise = 1;
  constexpr double limit = activation::ClampedSwiglu::limit;
  if (fields.number("swiglu_limit", {0, 1e6}, limit) != limit) {
    fields.problem("swiglu_limit", "only " + std::to_string(static_cast<int>(limit)) + " is supported");
  }
  static_cast<void>(fields.find("initial_context_length"));  // rope_scaling says the same
  if (!fields.find("sliding_window")) fields.problem("sliding_window", "missing");
  read_window(fields, c, true, 0);
  if (!fields.find("layer_types")) {  // then every other layer, beginning with the first
    model::LayerSet even;
    for (int layer = 0; layer < c.spec.layers; layer += 2) even.add(layer);
    if (c.spec.attn.window > 0) c.spec.attn.windowed = even;
  }
}

/// Which layers are delta nets: those that layer_types says, or all but every full_attention_interval'th.
void read_delta_layers(Fields& fields, model::ModelSpec& spec) {
  constexpr std::string_view key = "layer_types";
  const int interval = fields.integer("full_attention_interval", {1, model::most_layers}, 4);
  const std::vector<std::string> types = fields.texts(key);
  if (!types.empty() && types.size() != static_cast<std::size_t>(spec.layers)) {
    return fields.problem(key, "has " + std::to_string(types.size()) + " entries for " + std::to_string(spec.layers) + " layers");
  }
  for (int layer = 0; layer < spec.layers; ++layer) {
    const std::string type = !types.empty()                ? types[static_cast<std::size_t>(layer)]
                             : (layer + 1) % interval == 0 ? "full_attention"
                                                           : "linear_attention";
    if (type == "linear_attention") {
      spec.delta.layers.add(layer);
    } else if (type != "full_attention") {
      return fields.problem(key, in_quotes(type) + " is not supported; full_attention and linear_attention are");
    }
  }
  const int attending = spec.layers - spec.delta.layers.before(spec.layers);
  if (spec.layers > 0 && (attending == 0 || attending == spec.layers)) {
    fields.problem(types.empty() ? "full_attention_interval" : key,
                   "all layers are of one kind; this architecture has both full_attention and linear_attention");
  }
}

void read_qwen3_next(Fields& fields, ModelConfig& c) {
  auto& attn = c.spec.attn;
  auto& moe = c.spec.moe;
  auto& delta = c.spec.delta;
  attn.qkv_bias = attn.o_bias = fields.flag("attention_bias", false);
  attn.qk_norm = true;
  if (fields.flag("use_sliding_window", false)) {
    fields.problem("use_sliding_window", "true is not supported for this architecture");
  }
  for (const std::string_view key : {"sliding_window", "max_window_layers"}) static_cast<void>(fields.find(key));  // switched off

  constexpr Range<int> heads{1, 1024};
  delta.key_heads = fields.integer("linear_num_key_heads", heads, 16);
  delta.value_heads = fields.integer("linear_num_value_heads", heads, 32);
  delta.key_dim = fields.integer("linear_key_head_dim", {1, kernels::widest_key}, 128);
  delta.value_dim = fields.integer("linear_value_head_dim", {1, 1024}, 128);
  delta.taps = fields.integer("linear_conv_kernel_dim", {1, kernels::most_taps}, 4);
  if (delta.key_heads > 0 && delta.value_heads % delta.key_heads != 0) {
    fields.problem("linear_num_value_heads", std::to_string(delta.value_heads) + " value heads cannot be shared out to " +
                                                 std::to_string(delta.key_heads) + " key heads");
  }
  read_delta_layers(fields, c.spec);

  read_experts(fields, moe, "num_experts", 512, 10);
  moe.d_ff = fields.integer("moe_intermediate_size", {1, 1 << 20}, 512);
  moe.renormalise = fields.flag("norm_topk_prob", true);
  const int shared = fields.integer("shared_expert_intermediate_size", {1, 1 << 20}, 512);
  moe.shared = moe.d_ff > 0 ? shared / moe.d_ff : 0;
  if (moe.shared * moe.d_ff != shared) {
    fields.problem("shared_expert_intermediate_size",
                   std::to_string(shared) + " is no multiple of moe_intermediate_size " + std::to_string(moe.d_ff));
  }
  read_dense_layers(fields, c.spec);
}

}  // namespace

ModelConfig from_config(const Json& config) {
  Problems problems{std::string(config.where())};
  Fields fields(config, problems);
  fields.ignore(informative);
  const Architecture& architecture = architecture_of(fields, config);
  ModelConfig c;
  read_decoder(fields, architecture, c);
  architecture.read(fields, c);
  problems.throw_if_any();
  c.unknown_keys = fields.unread();
  return c;
}

std::vector<Family> families() {
  std::vector<Family> all;
  for (const Architecture& a : architectures) all.push_back({a.name, a.arch});
  return all;
}

ModelConfig read_config(const std::string& model_dir) { return from_config(Json::parse_file(model_dir + "/config.json")); }

}  // namespace atom::engine
