#include "build_source.hpp"

#include <algorithm>
#include <sstream>

#include "atom/core/error.hpp"

#include "model_main.hpp"  // written by CMake: cmake/model_main.cpp.in as a string

namespace atom::tools {

namespace {

struct Family {
  model::Arch arch;
  std::string_view name, enumerator;  // model::Name<M> in atom/model/<enumerator>.hpp
};
constexpr Family families[] = {{model::Arch::llama, "Llama", "llama"},
                               {model::Arch::qwen2, "Qwen2", "qwen2"},
                               {model::Arch::qwen3, "Qwen3", "qwen3"},
                               {model::Arch::mixtral, "Mixtral", "mixtral"},
                               {model::Arch::qwen3_moe, "Qwen3Moe", "qwen3_moe"},
                               {model::Arch::glm4_moe, "Glm4Moe", "glm4_moe"},
                               {model::Arch::deepseek_v2, "DeepseekV2", "deepseek_v2"},
                               {model::Arch::deepseek_v3, "DeepseekV3", "deepseek_v3"},
                               {model::Arch::gpt_oss, "GptOss", "gpt_oss"},
                               {model::Arch::qwen3_next, "Qwen3Next", "qwen3_next"}};

const Family& family_of(model::Arch arch) { return *std::ranges::find(families, arch, &Family::arch); }

// What the Cpu kernels are instantiated for: see atom/ops/attention_cpu.hpp.
constexpr int cpu_head_dims[] = {16, 32, 64, 96, 128, 256};

bool is_identifier(std::string_view s) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  return !s.empty() && letter(s[0]) &&
         std::ranges::all_of(s, [&](char c) { return letter(c) || c == '_' || (c >= '0' && c <= '9'); });
}

void check(const BuildChoice& c, const model::ModelSpec& spec) {
  const auto refuse = [](const std::string& what) { throw Error(what); };
  const auto one_of = [&](const char* flag, const std::string& value, const std::string& a, const std::string& b) {
    if (value != a && value != b) refuse(std::string(flag) + " " + value + ": expected " + a + " or " + b);
  };
  if (!is_identifier(c.name)) refuse("--name " + c.name + ": becomes a C++ type; use letters, digits and _");
  one_of("--backend", c.backend, "cpu", "ref");
  one_of("--quant", c.quant, "none", "int8");
  one_of("--act", c.activation, "bf16", "f32");
  const bool quantised = c.kv == "int8" || c.kv == "fp8";
  if (!c.kv.empty() && !quantised && c.kv != "bf16" && c.kv != "f32") refuse("--kv " + c.kv + ": expected bf16, f32, int8 or fp8");
  if (quantised && spec.attn.latent) refuse("--kv " + c.kv + ": a latent cache holds plain numbers; use --kv bf16");
  if (quantised && c.backend == "cpu" && c.activation == "f32")
    refuse("--kv " + c.kv + ": no Cpu kernel writes it from F32 activations; use --act bf16");
  if (c.kv == "f32" && c.activation == "bf16")
    refuse("--kv f32: no kernel writes an F32 cache from BF16 activations; use --act f32");
  if (c.weights != DType::bf16 && c.weights != DType::f16 && c.weights != DType::f32)
    refuse("--weights " + std::string(name_of(c.weights)) + ": expected bf16, f16 or f32");
  if (c.quant == "int8" && c.weights != DType::bf16)
    refuse("--quant int8: quantises a BF16 checkpoint, and this one is " + std::string(name_of(c.weights)) + "; use --quant none");
  if (c.tp < 1 || c.tp > 64) refuse("--tp " + std::to_string(c.tp) + ": must be between 1 and 64");
  if (c.ep != 1 && c.ep != c.tp)
    refuse("--ep " + std::to_string(c.ep) + ": is 1, which cuts every expert, or as many as --tp, " + std::to_string(c.tp));
  if (c.ep != 1 && spec.moe.experts == 0) refuse("--ep " + std::to_string(c.ep) + ": this model has no experts; leave it out");
  const model::LatentSpec& l = spec.attn.latent;
  const auto fits = [&] {
    if (l) return l.rank % 32 == 0 && l.rope % 32 == 0 && l.nope % 32 == 0 && l.value % 32 == 0 && l.value <= spec.attn.head_dim;
    return std::ranges::find(cpu_head_dims, spec.attn.head_dim) != std::end(cpu_head_dims);
  };
  if (c.backend == "cpu" && !fits())
    refuse(l ? "kv_lora_rank, qk_rope_head_dim, qk_nope_head_dim, v_head_dim: the Cpu kernels cover multiples of 32, and values no "
               "wider than keys; use --backend ref"
             : "head_dim " + std::to_string(spec.attn.head_dim) +
                   ": the Cpu kernels cover 16, 32, 64, 96, 128 and 256; use --backend ref, or add an instance "
                   "(docs/adding_a_kernel.md)");
}

std::string_view type_of(DType t) { return t == DType::f32 ? "float" : t == DType::f16 ? "fp16" : "bf16"; }
std::string_view type_of(std::string_view flag) {
  if (flag == "int8") return "quant::PerToken<int8>";
  if (flag == "fp8") return "quant::PerToken<fp8_e4m3>";
  return flag == "f32" ? "float" : "bf16";
}

std::string quants_of(const BuildChoice& c) {
  const std::string each = c.quant == "int8" ? "quant::PerToken<int8>" : "quant::NoAs<" + std::string(type_of(c.weights)) + ">";
  return each + ", " + each + ", " + each;
}

}  // namespace

std::string_view family_name(model::Arch arch) { return family_of(arch).name; }

std::string build_header(const BuildChoice& c, const model::ModelSpec& spec) {
  check(c, spec);
  // Every member: when ModelSpec gains one, this stops compiling until the member is printed below.
  const auto& [arch, d_model, d_ff, vocab, layers, attn, mlp_bias, tied, mtp_layers, moe, delta] = spec;
  const auto& [heads, kv_heads, head_dim, qk_norm, qkv_bias, o_bias, window, windowed, latent] = attn;
  const auto& [kv_rank, rope, nope, value, q_rank] = latent;
  const auto& [experts, top_k, expert_ff, renormalise, groups, top_groups, shared, dense_layers] = moe;
  const auto& [key_heads, value_heads, key_dim, value_dim, taps, delta_layers] = delta;
  const auto listed = [&, count = layers](const model::LayerSet& set) {
    std::string list;
    for (int layer = 0; layer < count; ++layer)
      if (set.has(layer)) list += (list.empty() ? "" : ", ") + std::to_string(layer);
    return list;
  };
  const Family& family = family_of(arch);
  std::ostringstream out;
  out << std::boolalpha << "#pragma once\n// Generated from a config.json: what is changed here is lost.\n"
      << "#include \"atom/model/" << family.enumerator << ".hpp\"\n"
      << "#include \"atom/ops/" << c.backend << ".hpp\"\n\n"
      << "namespace atom::builds {\n\n"
      << "struct " << c.name << " {\n"
      << "  static constexpr model::ModelSpec spec{.arch = model::Arch::" << family.enumerator << ",\n"
      << "                                         .d_model = " << d_model << ",\n"
      << "                                         .d_ff = " << d_ff << ",\n"
      << "                                         .vocab = " << vocab << ",\n"
      << "                                         .layers = " << layers << ",\n"
      << "                                         .attn = {.heads = " << heads << ",\n"
      << "                                                  .kv_heads = " << kv_heads << ",\n"
      << "                                                  .head_dim = " << head_dim << ",\n"
      << "                                                  .qk_norm = " << qk_norm << ",\n"
      << "                                                  .qkv_bias = " << qkv_bias << ",\n"
      << "                                                  .o_bias = " << o_bias << ",\n"
      << "                                                  .window = " << window << ",\n"
      << "                                                  .windowed = {" << listed(windowed) << "},\n"
      << "                                                  .latent = {.rank = " << kv_rank << ",\n"
      << "                                                             .rope = " << rope << ",\n"
      << "                                                             .nope = " << nope << ",\n"
      << "                                                             .value = " << value << ",\n"
      << "                                                             .q_rank = " << q_rank << "}},\n"
      << "                                         .mlp_bias = " << mlp_bias << ",\n"
      << "                                         .tied = " << tied << ",\n"
      << "                                         .mtp_layers = " << mtp_layers << ",\n"
      << "                                         .moe = {.experts = " << experts << ",\n"
      << "                                                 .top_k = " << top_k << ",\n"
      << "                                                 .d_ff = " << expert_ff << ",\n"
      << "                                                 .renormalise = " << renormalise << ",\n"
      << "                                                 .groups = " << groups << ",\n"
      << "                                                 .top_groups = " << top_groups << ",\n"
      << "                                                 .shared = " << shared << ",\n"
      << "                                                 .dense_layers = {" << listed(dense_layers) << "}},\n"
      << "                                         .delta = {.key_heads = " << key_heads << ",\n"
      << "                                                   .value_heads = " << value_heads << ",\n"
      << "                                                   .key_dim = " << key_dim << ",\n"
      << "                                                   .value_dim = " << value_dim << ",\n"
      << "                                                   .taps = " << taps << ",\n"
      << "                                                   .layers = {" << listed(delta_layers) << "}}};\n"
      << "  static constexpr model::Parallel parallel{.tp = " << c.tp << (c.ep == 1 ? "" : ", .ep = " + std::to_string(c.ep))
      << "};\n"
      << "  using backend = " << (c.backend == "cpu" ? "Cpu" : "Ref") << ";\n"
      << "  using act = " << type_of(c.activation) << ";\n"
      << "  using kv = " << type_of(c.kv.empty() ? c.activation : c.kv) << ";\n"
      << "  using quants = model::Quants<" << quants_of(c) << ">;\n"
      << "  template <class M> using net = model::" << family.name << "<M>;\n"
      << "};\n"
      << "static_assert(model::check<" << c.name << ">());\n\n"
      << "}  // namespace atom::builds\n";
  return out.str();
}

std::string build_main(const std::string& name) {
  constexpr std::string_view hole = "@name@";
  std::string text(model_main);
  for (std::size_t at = 0; (at = text.find(hole, at)) != std::string::npos; at += name.size()) text.replace(at, hole.size(), name);
  return text;
}

}  // namespace atom::tools
