#pragma once
// The builds whose dry traces are pinned: fixed dimensions in bf16 and int8, open dimensions on one and on several ranks.
#include "atom/dry.hpp"
#include "atom/model/build.hpp"

namespace atom::model::traced {

struct base {
  static constexpr Parallel parallel{.tp = 1};
  using backend = Dry;
  using act = bf16;
  using kv = bf16;
  using quants = Quants<quant::No>;
};

struct qwen3_0_6b : base {
  static constexpr ModelSpec spec{.arch = Arch::qwen3,
                                  .d_model = 1024,
                                  .d_ff = 3072,
                                  .vocab = 151936,
                                  .layers = 28,
                                  .attn = {.heads = 16, .kv_heads = 8, .head_dim = 128, .qk_norm = true},
                                  .tied = true};
};
struct qwen3_0_6b_int8 : qwen3_0_6b {
  using quants = Quants<quant::PerToken<int8>>;
};
struct qwen3_dynamic : base {
  static constexpr ModelSpec spec{.arch = Arch::qwen3, .attn = {.head_dim = 128, .qk_norm = true}};
};
struct llama_dynamic : base {
  static constexpr ModelSpec spec{.arch = Arch::llama, .attn = {.head_dim = 128}};
  static constexpr Parallel parallel{.tp = dynamic};
};
struct qwen2_dynamic : base {
  static constexpr ModelSpec spec{.arch = Arch::qwen2, .attn = {.head_dim = 64, .qkv_bias = 1}};
};

struct qwen3_moe_dynamic : base {
  static constexpr ModelSpec spec{.arch = Arch::qwen3_moe, .attn = {.head_dim = 128, .qk_norm = true}, .moe = any_moe};
};
struct mixtral_int8 : base {
  static constexpr ModelSpec spec{.arch = Arch::mixtral, .attn = {.head_dim = 128}, .moe = any_moe};
  static constexpr Parallel parallel{.tp = dynamic};
  using quants = Quants<quant::PerToken<int8>>;
};
struct glm4_moe_dynamic : base {
  static constexpr ModelSpec spec{.arch = Arch::glm4_moe, .attn = {.head_dim = 128, .qkv_bias = dynamic}, .moe = any_moe};
  static constexpr Parallel parallel{.tp = dynamic};
};
struct glm4_moe_shared_out : glm4_moe_dynamic {
  static constexpr Parallel parallel{.tp = dynamic, .ep = dynamic};
};
struct gpt_oss_dynamic : base {
  static constexpr ModelSpec spec{
      .arch = Arch::gpt_oss, .attn = {.head_dim = 64, .qkv_bias = 1, .o_bias = 1, .window = dynamic}, .moe = any_moe};
};

struct qwen3_next_dynamic : base {
  static constexpr ModelSpec spec{
      .arch = Arch::qwen3_next, .attn = {.head_dim = 256, .qk_norm = true}, .moe = any_moe, .delta = any_delta};
  static constexpr Parallel parallel{.tp = dynamic};
};

// Attention of published widths; V2-Lite makes queries of the hidden state, V3 of a low-rank row.
inline constexpr LatentSpec v2_lite_heads{.rank = 512, .rope = 64, .nope = 128, .value = 128};
struct deepseek_v2_lite_int8 : base {
  static constexpr ModelSpec spec{.arch = Arch::deepseek_v2, .attn = {.head_dim = 192, .latent = v2_lite_heads}, .moe = any_moe};
  using quants = Quants<quant::PerToken<int8>>;
};
struct deepseek_v3_dynamic : base {
  static constexpr ModelSpec spec{
      .arch = Arch::deepseek_v3,
      .attn = {.head_dim = 192, .latent = {.rank = 512, .rope = 64, .nope = 128, .value = 128, .q_rank = dynamic}},
      .moe = any_moe};
  static constexpr Parallel parallel{.tp = dynamic};
};

// As their config.json says.
inline constexpr ModelSpec llama_8b{.arch = Arch::llama,
                                    .d_model = 4096,
                                    .d_ff = 14336,
                                    .vocab = 128256,
                                    .layers = 32,
                                    .attn = {.heads = 32, .kv_heads = 8, .head_dim = 128}};
inline constexpr ModelSpec qwen2_0_5b{.arch = Arch::qwen2,
                                      .d_model = 896,
                                      .d_ff = 4864,
                                      .vocab = 151936,
                                      .layers = 24,
                                      .attn = {.heads = 14, .kv_heads = 2, .head_dim = 64, .qkv_bias = 1},
                                      .tied = true};

inline constexpr ModelSpec qwen3_30b_a3b{.arch = Arch::qwen3_moe,
                                         .d_model = 2048,
                                         .d_ff = 6144,
                                         .vocab = 151936,
                                         .layers = 48,
                                         .attn = {.heads = 32, .kv_heads = 4, .head_dim = 128, .qk_norm = true},
                                         .moe = {.experts = 128, .top_k = 8, .d_ff = 768, .renormalise = 1}};
inline constexpr ModelSpec mixtral_8x7b{.arch = Arch::mixtral,
                                        .d_model = 4096,
                                        .d_ff = 14336,
                                        .vocab = 32000,
                                        .layers = 32,
                                        .attn = {.heads = 32, .kv_heads = 8, .head_dim = 128},
                                        .moe = {.experts = 8, .top_k = 2, .d_ff = 14336, .renormalise = 1}};
inline constexpr ModelSpec v2_lite{.arch = Arch::deepseek_v2,
                                   .d_model = 2048,
                                   .d_ff = 10944,
                                   .vocab = 102400,
                                   .layers = 27,
                                   .attn = {.heads = 16, .kv_heads = 16, .head_dim = 192, .latent = v2_lite_heads},
                                   .moe = {.experts = 64, .top_k = 6, .d_ff = 1408, .shared = 2, .dense_layers = {0}}};
inline constexpr ModelSpec v3{.arch = Arch::deepseek_v3,
                              .d_model = 7168,
                              .d_ff = 18432,
                              .vocab = 129280,
                              .layers = 61,
                              .attn = {.heads = 128,
                                       .kv_heads = 128,
                                       .head_dim = 192,
                                       .latent = {.rank = 512, .rope = 64, .nope = 128, .value = 128, .q_rank = 1536}},
                              .moe = {.experts = 256,
                                      .top_k = 8,
                                      .d_ff = 2048,
                                      .renormalise = 1,
                                      .groups = 8,
                                      .top_groups = 4,
                                      .shared = 1,
                                      .dense_layers = {0, 1, 2}}};
inline constexpr ModelSpec glm4_5_air{
    .arch = Arch::glm4_moe,
    .d_model = 4096,
    .d_ff = 10944,
    .vocab = 151552,
    .layers = 46,
    .attn = {.heads = 96, .kv_heads = 8, .head_dim = 128, .qkv_bias = 1},
    .moe = {.experts = 128, .top_k = 8, .d_ff = 1408, .renormalise = 1, .shared = 1, .dense_layers = {0}}};
inline constexpr ModelSpec gpt_oss_20b{.arch = Arch::gpt_oss,
                                       .d_model = 2880,
                                       .d_ff = 2880,
                                       .vocab = 201088,
                                       .layers = 24,
                                       .attn = {.heads = 64,
                                                .kv_heads = 8,
                                                .head_dim = 64,
                                                .qkv_bias = 1,
                                                .o_bias = 1,
                                                .window = 128,
                                                .windowed = {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22}},
                                       .moe = {.experts = 32, .top_k = 4, .d_ff = 2880, .renormalise = 1}};

constexpr LayerSet all_but_every_fourth(int layers) {
  LayerSet set;
  for (int layer = 0; layer < layers; ++layer)
    if ((layer + 1) % 4 != 0) set.add(layer);
  return set;
}
inline constexpr ModelSpec qwen3_next_80b{
    .arch = Arch::qwen3_next,
    .d_model = 2048,
    .d_ff = 5120,
    .vocab = 151936,
    .layers = 48,
    .attn = {.heads = 16, .kv_heads = 2, .head_dim = 256, .qk_norm = true},
    .moe = {.experts = 512, .top_k = 10, .d_ff = 512, .renormalise = 1, .shared = 1},
    .delta = {.key_heads = 16, .value_heads = 32, .key_dim = 128, .value_dim = 128, .taps = 4, .layers = all_but_every_fourth(48)}};

}  // namespace atom::model::traced
