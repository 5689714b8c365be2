#pragma once
// A *build* is one named type that says everything: architecture, where it runs, how weights, activations and cache are
// stored, how it is cut over ranks.
// One idea: modules take only this type, so a diagnostic reads Qwen3Attention<qwen3_0_6b> and nothing longer; every illegal
// combination is refused in check<M>(), in English.
// To extend: write such a struct.
//   struct my_build {
//     static constexpr ModelSpec spec{.arch = Arch::qwen3, .d_model = 1024, ...};   // `dynamic` where config.json may decide
//     static constexpr Parallel parallel{.tp = 1};
//     using backend = Cpu;  using act = bf16;  using kv = bf16;  using quants = Quants<quant::No>;
//     // kv may be quantised: quant::PerToken<int8>, quant::PerToken<fp8_e4m3>
//   };
#include "atom/engine/context.hpp"
#include "atom/model/numbers.hpp"
#include "atom/model/spec.hpp"
#include "atom/quant/scheme.hpp"

namespace atom::model {

/// What the embedding table is stored in unless a build says so: as the head it may be tied to, when that holds plain numbers.
template <quant::Scheme Head> using TableOf = std::conditional_t<quant::Scaled<Head>, bf16, typename Head::weight>;

/// Where each scheme applies, and what the embedding table is stored in. The head defaults to unquantised.
template <class Attn, class Mlp = Attn, class Head = quant::No, class Table = TableOf<Head>> struct Quants {
  using attn = Attn;
  using mlp = Mlp;
  using head = Head;
  using table = Table;
};

template <class M>
concept Build = requires {
  { M::spec } -> std::convertible_to<const ModelSpec&>;
  { M::parallel } -> std::convertible_to<const Parallel&>;
  typename M::backend;
  typename M::act;
  typename M::kv;
  typename M::quants;
};

template <class M> consteval bool check() {
  constexpr ModelSpec s = M::spec;
  constexpr AttnSpec a = s.attn;
  constexpr int tp = M::parallel.tp, ep = M::parallel.ep;
  static_assert(tp == dynamic || tp >= 1, "atom: tensor-parallel size must be at least 1");
  static_assert(ep == 1 || ep == tp,
                "atom: experts are shared out over the tensor-parallel ranks: Parallel::ep is 1, which cuts every expert, or tp");
  static_assert(ep == 1 || s.moe.experts != 0, "atom: without a mixture of experts, Parallel::ep is 1");
  static_assert(ep == dynamic || s.moe.experts == dynamic || s.moe.experts >= ep || ep == 1,
                "atom: every rank needs an expert: Parallel::ep is at most their number, or 1");
  static_assert(a.head_dim != dynamic,
                "atom: head_dim sizes register arrays; fix it in the build's spec (64, 128), even in a universal build");
  static_assert(
      a.latent.rank != dynamic && a.latent.rope != dynamic && a.latent.nope != dynamic && a.latent.value != dynamic,
      "atom: the widths of latent attention size register arrays; fix them in the build's spec, even in a universal build");
  static_assert(!a.latent || a.head_dim == a.latent.nope + a.latent.rope,
                "atom: head_dim of latent attention is that of keys: latent.nope + latent.rope");
  static_assert(a.heads == dynamic || tp == dynamic || a.heads % tp == 0,
                "atom: attention heads must divide by tensor-parallel size");
  static_assert(a.heads == dynamic || a.kv_heads == dynamic || a.heads % a.kv_heads == 0,
                "atom: heads must be a multiple of kv_heads");
  static_assert(a.kv_heads == dynamic || tp == dynamic || a.kv_heads % tp == 0 || tp % a.kv_heads == 0,
                "atom: kv_heads must divide by tensor-parallel size, or the size by kv_heads (then they are replicated)");
  static_assert(s.d_ff == dynamic || tp == dynamic || s.d_ff % tp == 0, "atom: d_ff must divide by tensor-parallel size");
  static_assert(s.moe.experts == dynamic || s.moe.top_k == dynamic || s.moe.top_k <= s.moe.experts,
                "atom: a mixture cannot choose more experts than it has");
  static_assert(s.moe.groups == dynamic || s.moe.experts == dynamic || s.moe.experts % s.moe.groups == 0,
                "atom: a mixture's groups must divide its experts");
  static_assert(s.moe.d_ff == dynamic || tp == dynamic || ep != 1 || s.moe.d_ff % tp == 0,
                "atom: the experts' d_ff must divide by tensor-parallel size; or Parallel::ep = tp shares whole experts out");
  static_assert(s.moe.d_ff == dynamic || s.moe.shared == dynamic || tp == dynamic || s.moe.d_ff * s.moe.shared % tp == 0,
                "atom: the width of the shared experts must divide by tensor-parallel size");
  static_assert(s.delta.key_heads == dynamic || s.delta.value_heads == dynamic || !s.delta ||
                    (s.delta.key_heads > 0 && s.delta.value_heads % s.delta.key_heads == 0),
                "atom: a delta net's value heads must be a multiple of its key heads");
  static_assert(s.delta.key_heads == dynamic || tp == dynamic || s.delta.key_heads % tp == 0,
                "atom: a delta net's key heads must divide by tensor-parallel size");
  static_assert(
      quant::Scheme<typename M::quants::attn> && quant::Scheme<typename M::quants::mlp> && quant::Scheme<typename M::quants::head>,
      "atom: Quants<...> takes quantization schemes: empty types with weight, act, scale and name() (docs/adding_a_scheme.md)");
  static_assert(dtype_of<typename M::quants::table> == DType::f32 || dtype_of<typename M::quants::table> == DType::f16 ||
                    dtype_of<typename M::quants::table> == DType::bf16,
                "atom: the embedding table is looked up, not multiplied: Quants<..., Head, Table> takes float, fp16 or bf16");
  static_assert(dtype_of<typename M::act> == DType::f32 || dtype_of<typename M::act> == DType::bf16,
                "atom: activations are float or bf16");
  static_assert(!a.latent || !quant::Scheme<typename M::kv>,
                "atom: a latent cache holds one row for all heads, of plain numbers, so kv must be bf16 or float");
  return true;
}

/// The widths of a build as one rank sees them: S(Axis::q, Axis::kv, Axis::kv) is the rows of a packed qkv weight.
template <Build M> struct Sizes {
  static constexpr ModelSpec fixed = shard(M::spec, {0, M::parallel.tp, M::parallel.ep});
  constexpr Width operator()(Axis a, Axis b = Axis::none, Axis c = Axis::none, Axis d = Axis::none) const {
    int n = length(a);
    for (const Axis more : {b, c, d})
      if (more != Axis::none) n = add(n, length(more));
    return Width(n, a, b, c, d);
  }

 private:
  static constexpr int length(Axis a) {  // shared experts are cut, whatever becomes of the others
    return a == Axis::shared_ff ? size(shard(M::spec, {0, M::parallel.tp}), a) : size(fixed, a);
  }
};

/// The context a build's forward pass runs in; B differs from M::backend in a dry run.
template <Build M, class B = typename M::backend> struct ModelContext : Context<B, typename M::act> {
  static_assert(check<M>());
  using target = typename M::backend;
  static constexpr int tp = M::parallel.tp;
  static constexpr ModelSpec fixed = Sizes<M>::fixed;

  ModelSpec whole{}, local{};  // as config.json says, and this rank's share
  Rank rank{};
  Numbers numbers{};
  const float* cos_sin = nullptr;  // (max positions, rotary_dim)
  KvCache kv{};
  StateCache states{};
  typename M::act* hidden = nullptr;  // (rows of the largest step, d_model): what is kept of a step for draft()

  /// A number if the build fixes it, else the config's.
  static constexpr int pick(int build, int config) { return build == dynamic ? config : build; }
  constexpr int heads() const { return pick(fixed.attn.heads, local.attn.heads); }
  constexpr int kv_heads() const { return pick(fixed.attn.kv_heads, local.attn.kv_heads); }
  /// Tokens that a row of this layer sees; 0: all.
  constexpr int window(int layer) const { return whole.attn.windowed.has(layer) ? whole.attn.window : 0; }
  constexpr int experts() const { return pick(fixed.moe.experts, local.moe.experts); }
  constexpr int groups() const { return pick(fixed.moe.groups, local.moe.groups); }
  constexpr int top_groups() const { return pick(fixed.moe.top_groups, local.moe.top_groups); }
  constexpr int top_k() const { return pick(fixed.moe.top_k, local.moe.top_k); }
  constexpr bool renormalises_topk() const { return pick(fixed.moe.renormalise, local.moe.renormalise) != 0; }
  constexpr int whole_vocab() const { return whole.vocab; }
  constexpr Share vocab() const { return share(whole, Axis::vocab, rank); }
  /// Columns between the first logits of neighbouring ranks.
  constexpr int vocab_stride() const { return share(whole, Axis::vocab, {0, rank.size}).count; }
  constexpr int rotary_dim() const { return numbers.rope.rotary_dim; }
};

}  // namespace atom::model
