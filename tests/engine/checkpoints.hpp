#pragma once
// Checkpoints for tests: tensors read from golden files, and small random models written to a temporary directory.
#include <algorithm>
#include <cstring>
#include <fstream>
#include <initializer_list>
#include <random>
#include <string>
#include <vector>

#include "atom/core/error.hpp"
#include "atom/engine/safetensors.hpp"

#include "temp_dir.hpp"

namespace atom::test {

inline const engine::NamedTensor& tensor(const engine::SafeTensors& file, std::string_view name) {
  for (const auto& t : file.tensors())
    if (t.name == name) return t;
  throw Error(file.path() + ": no tensor " + std::string(name));
}
template <class File, class T> std::vector<T> values(const engine::SafeTensors& file, std::string_view name) {
  const auto& t = tensor(file, name);
  std::vector<T> v(t.bytes / sizeof(File));
  for (std::size_t i = 0; i < v.size(); ++i) {
    File x;
    std::memcpy(&x, t.data + i * sizeof(File), sizeof x);
    v[i] = static_cast<T>(x);
  }
  return v;
}
inline std::vector<int> ids(const engine::SafeTensors& file, std::string_view name) {
  return values<std::int64_t, int>(file, name);
}
inline std::vector<float> floats(const engine::SafeTensors& file, std::string_view name) {
  return values<float, float>(file, name);
}

/// A random decoder checkpoint. Change its members or its tensors before write() to break it.
struct RandomCheckpoint {
  std::string architecture = "Qwen3ForCausalLM";
  int d_model = 64, d_ff = 96, vocab = 101, layers = 2, heads = 4, kv_heads = 2, head_dim = 64;
  bool tied = true;
  DType dtype = DType::bf16;
  int experts = 5, top_k = 2, expert_ff = 48;           // Mixtral (whose experts are d_ff wide) and Qwen3-MoE only
  std::vector<int> dense_layers{};                      // Qwen3-MoE: mlp_only_layers; GLM: the first ones
  int shared = 2;                                       // GLM, DeepSeek
  int window = 0;                                       // of every layer; 0: none
  int rank = 512, rope = 64, value = 128, q_rank = 96;  // DeepSeek, whose heads are 128 + rope wide; q_rank: V3

  struct Tensor {
    std::string name;
    std::vector<std::int64_t> shape;
    DType dtype;
    std::vector<std::byte> data;
  };
  std::vector<Tensor> tensors{};

  /// Fills `tensors` with noise of about the size trained weights have.
  RandomCheckpoint& fill(unsigned seed = 1) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    const auto add = [&](const std::string& name, std::vector<std::int64_t> shape, float scale, float shift = 0) {
      std::size_t n = 1;
      for (auto d : shape) n *= static_cast<std::size_t>(d);
      Tensor t{name, std::move(shape), dtype, {}};
      t.data.resize(n * static_cast<std::size_t>(size_of(dtype)));
      for (std::size_t i = 0; i < n; ++i) store(t, i, normal(generator) * scale + shift);
      tensors.push_back(std::move(t));
    };
    const bool qwen3 = architecture.starts_with("Qwen3"), qwen2 = architecture.starts_with("Qwen2");
    const int q = heads * head_dim, kv = kv_heads * head_dim;
    add("model.embed_tokens.weight", {vocab, d_model}, 1);
    for (int l = 0; l < layers; ++l) {
      const std::string p = "model.layers." + std::to_string(l) + ".";
      add(p + "input_layernorm.weight", {d_model}, 0.1f, 1);
      add(p + "post_attention_layernorm.weight", {d_model}, 0.1f, 1);
      if (deepseek()) latent_attention(p + "self_attn.", add);
      for (auto [name, rows] : {std::pair{"q_proj", q}, {"k_proj", kv}, {"v_proj", kv}}) {
        if (deepseek()) break;
        add(p + "self_attn." + name + ".weight", {rows, d_model}, 0.12f);
        if (qwen2 || glm4()) add(p + "self_attn." + name + ".bias", {rows}, 0.3f);
      }
      if (!deepseek()) add(p + "self_attn.o_proj.weight", {d_model, q}, 0.08f);
      if (qwen3 || glm4())
        add(p + "self_attn.q_norm.weight", {head_dim}, 0.2f, 1), add(p + "self_attn.k_norm.weight", {head_dim}, 0.2f, 1);
      const auto mlp = [&](const std::string& path, std::initializer_list<const char*> gate_up_down, int width) {
        const char* const* names = gate_up_down.begin();
        add(path + names[0] + ".weight", {width, d_model}, 0.12f);
        add(path + names[1] + ".weight", {width, d_model}, 0.12f);
        add(path + names[2] + ".weight", {d_model, width}, 0.12f);
      };
      const bool is_dense = std::find(dense_layers.begin(), dense_layers.end(), l) != dense_layers.end();
      if (mixtral() || ((qwen3_moe() || glm4() || deepseek()) && !is_dense)) {
        const std::string moe = p + (mixtral() ? "block_sparse_moe." : "mlp.");
        add(moe + "gate.weight", {experts, d_model}, 0.3f);
        if (glm4() || deepseek_v3()) add(moe + "gate.e_score_correction_bias", {experts}, 0.5f);
        if (glm4() || deepseek()) mlp(moe + "shared_experts.", {"gate_proj", "up_proj", "down_proj"}, shared * expert_ff);
        for (int e = 0; e < experts; ++e) {
          const std::string expert = moe + "experts." + std::to_string(e) + ".";
          if (mixtral())
            mlp(expert, {"w1", "w3", "w2"}, d_ff);
          else
            mlp(expert, {"gate_proj", "up_proj", "down_proj"}, expert_ff);
        }
      } else {
        mlp(p + "mlp.", {"gate_proj", "up_proj", "down_proj"}, d_ff);
      }
    }
    add("model.norm.weight", {d_model}, 0.1f, 1);
    if (!tied) add("lm_head.weight", {vocab, d_model}, 0.12f);
    return *this;
  }
  Tensor& at(std::string_view name) {
    for (auto& t : tensors)
      if (t.name == name) return t;
    throw Error("no such tensor in the test's checkpoint");
  }
  /// Qwen3-MoE: all experts of a layer in one tensor (experts, rows, columns), or transposed (experts, columns, rows).
  void pack_experts(bool transposed) {
    for (int l = 0; l < layers; ++l) {
      const std::string path = "model.layers." + std::to_string(l) + ".mlp.experts.";
      const auto pack = [&](const std::string& to, const std::vector<std::string>& parts) {
        const auto source = [&](int e, const std::string& part) -> Tensor& {
          return at(path + std::to_string(e) + "." + part + ".weight");
        };
        const std::int64_t rows = source(0, parts[0]).shape[0], cols = source(0, parts[0]).shape[1];
        const auto all = rows * static_cast<std::int64_t>(parts.size());
        Tensor t{path + to, {experts, transposed ? cols : all, transposed ? all : cols}, dtype, {}};
        const auto size = static_cast<std::size_t>(size_of(dtype));
        t.data.resize(static_cast<std::size_t>(experts * all * cols) * size);
        for (int e = 0; e < experts; ++e)
          for (std::size_t p = 0; p < parts.size(); ++p)
            for (std::int64_t r = 0; r < rows; ++r)
              for (std::int64_t c = 0; c < cols; ++c) {
                const std::int64_t row = static_cast<std::int64_t>(p) * rows + r;
                const auto from = static_cast<std::size_t>(r * cols + c);
                const auto in = static_cast<std::size_t>(e * all * cols + (transposed ? c * all + row : row * cols + c));
                std::memcpy(t.data.data() + in * size, source(e, parts[p]).data.data() + from * size, size);
              }
        std::erase_if(tensors, [&](const Tensor& x) {
          return x.name.starts_with(path) && std::any_of(parts.begin(), parts.end(), [&](const std::string& part) {
                   return x.name.ends_with("." + part + ".weight");
                 });
        });
        tensors.push_back(std::move(t));
      };
      pack("gate_up_proj", {"gate_proj", "up_proj"});
      pack("down_proj", {"down_proj"});
    }
  }
  void write(const std::string& directory) const {
    const char* spelled = dtype == DType::f32 ? "float32" : dtype == DType::f16 ? "float16" : "bfloat16";
    std::ofstream(directory + "/config.json")
        << "{\"architectures\": [\"" << architecture << "\"], \"hidden_size\": " << d_model << ", \"intermediate_size\": " << d_ff
        << ", \"num_hidden_layers\": " << layers << ", \"num_attention_heads\": " << heads
        << ", \"num_key_value_heads\": " << (deepseek() ? heads : kv_heads) << ", \"head_dim\": " << head_dim
        << ", \"vocab_size\": " << vocab << ", \"max_position_embeddings\": 256"
        << ", \"rms_norm_eps\": 1e-6, \"rope_theta\": 10000.0, \"hidden_act\": \"silu\", \"torch_dtype\": \"" << spelled
        << "\", \"tie_word_embeddings\": " << (tied ? "true" : "false") << moe_members() << window_members() << "}";
    std::vector<engine::NamedTensor> named;
    for (const auto& t : tensors) {
      engine::NamedTensor n;
      n.name = t.name;
      n.dtype = t.dtype;
      n.rank = static_cast<int>(t.shape.size());
      std::copy(t.shape.begin(), t.shape.end(), n.dims.begin());
      n.data = t.data.data();
      n.bytes = t.data.size();
      named.push_back(std::move(n));
    }
    engine::write_safetensors(directory + "/model.safetensors", named);
  }

 private:
  [[nodiscard]] bool mixtral() const { return architecture.starts_with("Mixtral"); }
  [[nodiscard]] bool qwen3_moe() const { return architecture.starts_with("Qwen3Moe"); }
  [[nodiscard]] bool glm4() const { return architecture.starts_with("Glm4Moe"); }
  [[nodiscard]] bool deepseek() const { return architecture.starts_with("Deepseek"); }
  [[nodiscard]] bool deepseek_v3() const { return architecture.starts_with("DeepseekV3"); }
  void latent_attention(const std::string& p, auto& add) const {
    const int key = 128 + rope;
    if (deepseek_v3()) {
      add(p + "q_a_proj.weight", {q_rank, d_model}, 0.12f);
      add(p + "q_a_layernorm.weight", {q_rank}, 0.1f, 1);
    }
    add(p + (deepseek_v3() ? "q_b_proj.weight" : "q_proj.weight"), {heads * key, deepseek_v3() ? q_rank : d_model}, 0.1f);
    add(p + "kv_a_proj_with_mqa.weight", {rank + rope, d_model}, 0.12f);
    add(p + "kv_a_layernorm.weight", {rank}, 0.1f, 1);
    add(p + "kv_b_proj.weight", {heads * (128 + value), rank}, 0.04f);
    add(p + "o_proj.weight", {d_model, heads * value}, 0.08f);
  }
  static std::string member(const char* key, const std::string& json) { return std::string(", \"") + key + "\": " + json; }
  [[nodiscard]] std::string window_members() const {
    if (window == 0) return {};
    return member("use_sliding_window", "true") + member("max_window_layers", "0") +
           member("sliding_window", std::to_string(window));
  }
  [[nodiscard]] std::string moe_members() const {
    const std::string chosen = member("num_experts_per_tok", std::to_string(top_k));
    if (mixtral()) return member("num_local_experts", std::to_string(experts)) + chosen;
    const std::string grouped = member("n_routed_experts", std::to_string(experts)) + chosen +
                                member("moe_intermediate_size", std::to_string(expert_ff)) +
                                member("n_shared_experts", std::to_string(shared)) + member("routed_scaling_factor", "1.5") +
                                member("first_k_dense_replace", std::to_string(dense_layers.size()));
    if (glm4())
      return grouped + member("attention_bias", "true") + member("use_qk_norm", "true") + member("num_nextn_predict_layers", "1");
    if (deepseek())
      return grouped + member("kv_lora_rank", std::to_string(rank)) + member("qk_rope_head_dim", std::to_string(rope)) +
             member("v_head_dim", std::to_string(value)) + member("n_group", "1") + member("topk_group", "1") +
             (deepseek_v3() ? member("q_lora_rank", std::to_string(q_rank)) : "");
    if (!qwen3_moe()) return {};
    std::string dense;
    for (int layer : dense_layers) dense += (dense.empty() ? "" : ", ") + std::to_string(layer);
    return member("num_experts", std::to_string(experts)) + chosen + member("moe_intermediate_size", std::to_string(expert_ff)) +
           member("norm_topk_prob", "false") + member("mlp_only_layers", "[" + dense + "]");
  }
  static void store(Tensor& t, std::size_t i, float v) {
    const auto put = [&](auto x) { std::memcpy(t.data.data() + i * sizeof x, &x, sizeof x); };
    if (t.dtype == DType::f32) return put(v);
    if (t.dtype == DType::f16) return put(fp16(v));
    put(bf16(v));
  }
};

}  // namespace atom::test
