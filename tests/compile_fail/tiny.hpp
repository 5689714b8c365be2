#pragma once
// A build that is right in every respect; each refused file spoils one of them.
#include "atom/model/qwen3.hpp"
#include "atom/ops/ref.hpp"

namespace tiny {

using namespace atom;
using namespace atom::model;

inline constexpr ModelSpec good_spec{.arch = Arch::qwen3,
                                     .d_model = 128,
                                     .d_ff = 256,
                                     .vocab = 320,
                                     .layers = 2,
                                     .attn = {.heads = 4, .kv_heads = 2, .head_dim = 64, .qk_norm = true}};

struct good {
  static constexpr ModelSpec spec = good_spec;
  static constexpr Parallel parallel{.tp = 1};
  using backend = Ref;
  using act = bf16;
  using kv = bf16;
  using quants = Quants<quant::No>;
};

/// What a forward pass of M instantiates: every module, every kernel.
template <class M> void compose() {
  static_assert(check<M>());
  const Qwen3<M> net(M::spec);
  ModelContext<M> ctx;
  (void)net(ctx);
}

}  // namespace tiny
