#pragma once
// The universal builds: one per kind of head, weight type, scheme, activation type and backend; every other dimension, the number
// of ranks, and whether they share experts out, is a hole that config.json and the operator fill.
#include "atom/engine/registry.hpp"
#include "atom/ops/gpu_types.hpp"

namespace atom::builds {

using namespace atom::model;

/// What every build fixes of attention.
struct Heads {
  int dim;
  bool norm;  // of q and k
  LatentSpec latent{};
};

/// The other families are mixtures of experts. Checkpoints of another type than BF16, which are older, are about of these alone.
constexpr bool dense(Arch a) { return a == Arch::llama || a == Arch::qwen2 || a == Arch::qwen3; }

constexpr ModelSpec universal_spec(Arch arch, Heads heads) {
  ModelSpec s{.arch = arch,
              .attn = {.head_dim = heads.dim,
                       .qk_norm = heads.norm,
                       .qkv_bias = dynamic,
                       .o_bias = dynamic,
                       .window = heads.latent || arch == Arch::qwen3_next ? 0 : dynamic,
                       .latent = heads.latent},
              .mlp_bias = dynamic};
  if (!dense(arch)) s.moe = any_moe;
  if (arch == Arch::qwen3_next) s.delta = any_delta;
  return s;
}

template <class B> inline constexpr int universal_ranks = dynamic;
template <gpu::Target B> inline constexpr int universal_ranks<B> = 1;  // no collectives there yet

template <Arch A, Heads H, class B, class T, class Body, class Head, class Kv = T> struct universal {
  static constexpr ModelSpec spec = universal_spec(A, H);
  static constexpr Parallel parallel{.tp = universal_ranks<B>, .ep = spec.moe.experts == 0 ? 1 : universal_ranks<B>};
  using backend = B;
  using act = T;
  using kv = Kv;
  using quants = Quants<Body, Body, Head>;
};

template <Arch A, Heads H> inline constexpr ModelSpec admitted = universal_spec(A, H);

// One build. `Also`: architectures that are the same network with other switches, which are holes here.
template <template <class> class Net, Heads H, class B, class T, class Body, class Head, class Kv, Arch A, Arch... Also>
void add_build(engine::Registry& r) {
  constexpr std::string_view heads = H.latent       ? "universal_mla_"
                                     : H.dim == 64  ? "universal_d64_"
                                     : H.dim == 128 ? "universal_d128_"
                                                    : "universal_d256_";
  static constexpr Name name = std::same_as<Kv, T> ? Name{heads, Body::name(), "_", type_name<T>}
                                                   : Name{heads, Body::name(), "_", type_name<T>, "_kv_", engine::kv_name<Kv>};
  auto v = engine::variant<universal<A, H, B, T, Body, Head, Kv>, Net>(std::string(std::string_view(name)));
  r.add(v);
  ((v.spec = &admitted<Also, H>, r.add(v)), ...);
}

/// All schemes and activation types of one kind of head.
template <template <class> class Net, Heads H, class B, Arch A, Arch... Also> void add_heads(engine::Registry& r) {
  const auto add = [&]<class T, class Body>(T, Body) { add_build<Net, H, B, T, Body, Body, T, A, Also...>(r); };
  const auto each = [&](auto act) {
    add(act, quant::NoAs<bf16>{});
    add(act, quant::PerToken<int8>{});
    if constexpr (dense(A)) {
      add(act, quant::NoAs<fp16>{});
      add(act, quant::NoAs<float>{});
    }
  };
  each(float{});
  each(bf16{});
}

/// All that GPU kernels serve: bf16 throughout, but for caches.
template <template <class> class Net, Heads H, gpu::Target B, Arch A, Arch... Also> void add_heads(engine::Registry& r) {
  using Q = quant::NoAs<bf16>;
  add_build<Net, H, B, bf16, Q, Q, bf16, A, Also...>(r);
}

/// Quantised caches of one kind of head, for what is common: beside BF16 activations, fp8 beside BF16 weights alone.
template <template <class> class Net, Heads H, class B, Arch A, Arch... Also> void add_caches(engine::Registry& r) {
  using Bf16 = quant::NoAs<bf16>;
  using Int8 = quant::PerToken<int8>;
  add_build<Net, H, B, bf16, Bf16, Bf16, Int8, A, Also...>(r);
  add_build<Net, H, B, bf16, Bf16, Bf16, quant::PerToken<fp8_e4m3>, A, Also...>(r);
  if constexpr (std::same_as<B, Cpu>) add_build<Net, H, B, bf16, Int8, Int8, Int8, A, Also...>(r);
}

/// Every build of one network on one backend.
template <template <class> class Net, class B, Arch A, Arch... Also> void add_network(engine::Registry& r) {
  constexpr bool norm = A == Arch::qwen3 || A == Arch::qwen3_moe;
  add_heads<Net, Heads{64, norm}, B, A, Also...>(r);
  add_heads<Net, Heads{128, norm}, B, A, Also...>(r);
  if constexpr (!std::same_as<B, Ref> && dense(A)) {
    add_caches<Net, Heads{64, norm}, B, A, Also...>(r);
    add_caches<Net, Heads{128, norm}, B, A, Also...>(r);
  }
}

/// Latent attention of the widths that DeepSeek published, its queries made of a low-rank row or not.
template <template <class> class Net, class B, Arch A> void add_latent_network(engine::Registry& r) {
  constexpr LatentSpec full{.rank = 512, .rope = 64, .nope = 128, .value = 128},
      low{.rank = 512, .rope = 64, .nope = 128, .value = 128, .q_rank = dynamic};
  add_heads<Net, Heads{192, false, full}, B, A>(r);
  add_heads<Net, Heads{192, false, low}, B, A>(r);
}

// One translation unit per network and backend keeps the build parallel.
void add_llama_cpu(engine::Registry&);
void add_llama_ref(engine::Registry&);
void add_qwen3_cpu(engine::Registry&);
void add_qwen3_ref(engine::Registry&);
void add_mixtral_cpu(engine::Registry&);
void add_mixtral_ref(engine::Registry&);
void add_qwen3_moe_cpu(engine::Registry&);
void add_qwen3_moe_ref(engine::Registry&);
void add_glm4_moe_cpu(engine::Registry&);
void add_glm4_moe_ref(engine::Registry&);
void add_deepseek_v2_cpu(engine::Registry&);
void add_deepseek_v2_ref(engine::Registry&);
void add_deepseek_v3_cpu(engine::Registry&);
void add_deepseek_v3_ref(engine::Registry&);
void add_gpt_oss_cpu(engine::Registry&);
void add_gpt_oss_ref(engine::Registry&);
void add_qwen3_next_cpu(engine::Registry&);
void add_qwen3_next_ref(engine::Registry&);
// In programs built with ATOM_GPU.
void add_llama_hip(engine::Registry&);
void add_qwen3_hip(engine::Registry&);
void add_mixtral_hip(engine::Registry&);
void add_qwen3_moe_hip(engine::Registry&);
void add_glm4_moe_hip(engine::Registry&);
void add_deepseek_v2_hip(engine::Registry&);
void add_deepseek_v3_hip(engine::Registry&);
void add_gpt_oss_hip(engine::Registry&);

}  // namespace atom::builds
