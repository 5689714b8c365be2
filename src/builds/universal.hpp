#pragma once
// The universal builds: one per head_dim, weight type, scheme, activation type and backend; every other dimension, and the
// number of ranks, is a hole that config.json and the operator fill.
#include "atom/engine/registry.hpp"
#include "atom/ops/gpu_types.hpp"

namespace atom::builds {

using namespace atom::model;

constexpr ModelSpec universal_spec(Arch arch, int head_dim) {
  ModelSpec s{.arch = arch, .attn = {.head_dim = head_dim, .qkv_bias = dynamic, .o_bias = dynamic}, .mlp_bias = dynamic};
  s.attn.qk_norm = arch == Arch::qwen3 || arch == Arch::qwen3_moe;
  if (arch == Arch::mixtral || arch == Arch::qwen3_moe) s.moe = any_moe;
  return s;
}

template <class B> inline constexpr int universal_ranks = dynamic;
template <gpu::Target B> inline constexpr int universal_ranks<B> = 1;  // no collectives there yet

template <Arch A, int D, class B, class T, class Body, class Head> struct universal {
  static constexpr ModelSpec spec = universal_spec(A, D);
  static constexpr Parallel parallel{.tp = universal_ranks<B>};
  using backend = B;
  using act = T;
  using kv = T;
  using quants = Quants<Body, Body, Head>;
};

template <Arch A, int D> inline constexpr ModelSpec admitted = universal_spec(A, D);

// One build. `Also`: architectures that are the same network with other switches, which are holes here.
template <template <class> class Net, int D, class B, class T, class Body, class Head, Arch A, Arch... Also>
void add_build(engine::Registry& r) {
  const Name name{D == 64 ? "universal_d64_" : "universal_d128_", Body::name(), "_", type_name<T>};
  auto v = engine::variant<universal<A, D, B, T, Body, Head>, Net>(std::string(std::string_view(name)));
  r.add(v);
  ((v.spec = &admitted<Also, D>, r.add(v)), ...);
}

// All schemes of one head_dim.
template <template <class> class Net, int D, class B, class T, Arch... A> void add_head_dim(engine::Registry& r) {
  const auto add = [&]<class Body, class Head>(Body, Head) { add_build<Net, D, B, T, Body, Head, A...>(r); };
  add(quant::NoAs<bf16>{}, quant::NoAs<bf16>{});
  add(quant::NoAs<fp16>{}, quant::NoAs<fp16>{});
  add(quant::NoAs<float>{}, quant::NoAs<float>{});
  add(quant::PerToken<int8>{}, quant::PerToken<int8>{});
}

/// Every build of one network on one backend.
template <template <class> class Net, class B, Arch... A> void add_network(engine::Registry& r) {
  add_head_dim<Net, 64, B, float, A...>(r);
  add_head_dim<Net, 64, B, bf16, A...>(r);
  add_head_dim<Net, 128, B, float, A...>(r);
  add_head_dim<Net, 128, B, bf16, A...>(r);
}

/// Those that GPU kernels serve: bf16 throughout, one rank.
template <template <class> class Net, gpu::Target B, Arch... A> void add_gpu_network(engine::Registry& r) {
  using Q = quant::NoAs<bf16>;
  add_build<Net, 64, B, bf16, Q, Q, A...>(r);
  add_build<Net, 128, B, bf16, Q, Q, A...>(r);
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
void add_llama_hip(engine::Registry&);  // these two in programs built with ATOM_GPU
void add_qwen3_hip(engine::Registry&);

}  // namespace atom::builds
