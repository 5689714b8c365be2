#pragma once
// ModelSpec: the integers and switches that define an architecture.
// One idea: one struct with three lives. Constants of a specialised build; constants with `dynamic` holes of a universal
// build; a plain value read from config.json at run time. Floats (rms_eps, rope_theta) are data and live in Numbers.
// To extend: add a member with a default that means "absent", a line in admits(), and its reading in engine/config.cpp.
#include <cstdint>
#include <initializer_list>

#include "atom/core/tensor.hpp"

namespace atom::model {

enum class Arch : unsigned char {
  llama,
  qwen2,
  qwen3,
  mixtral,
  qwen3_moe,
  glm4_moe,
  deepseek_v2,
  deepseek_v3,
  gpt_oss,
  qwen3_next
};

/// Multi-head latent attention: all heads make their keys and values of one short row per token. Absent: no rank.
struct LatentSpec {
  int rank = 0;             // channels of the row that keys and values are made of
  int rope = 0;             // its other channels, which are part of every head's key, rotated
  int nope = 0, value = 0;  // of a head: channels of key that are made, and of value
  int q_rank = 0;           // channels of the row that queries are made of; 0: they are made of the hidden state. A hole is not 0
  constexpr explicit operator bool() const { return rank != 0; }
  bool operator==(const LatentSpec&) const = default;
};

inline constexpr int most_layers = 1024;

/// Some of a model's layers.
class LayerSet {
 public:
  constexpr LayerSet() = default;
  constexpr LayerSet(std::initializer_list<int> layers) {
    for (int layer : layers) add(layer);
  }
  constexpr void add(int layer) { bits_[layer / 64] |= std::uint64_t{1} << layer % 64; }
  [[nodiscard]] constexpr bool has(int layer) const { return (bits_[layer / 64] >> layer % 64 & 1) != 0; }
  /// How many lie before `layer`.
  [[nodiscard]] constexpr int before(int layer) const {
    int n = 0;
    for (int i = 0; i < layer; ++i) n += has(i);
    return n;
  }
  bool operator==(const LayerSet&) const = default;

 private:
  std::uint64_t bits_[most_layers / 64] = {};
};

/// Gated delta nets: layers that carry a state of fixed size from token to token, in place of keys and values. Absent: no heads.
/// Each key head serves value_heads / key_heads neighbouring value heads.
struct DeltaSpec {
  int key_heads = 0, value_heads = 0;
  int key_dim = 0, value_dim = 0;  // of a head
  int taps = 0;                    // tokens that the convolution in front sees, the last one included
  LayerSet layers{};               // that are such; a build with open `value_heads` admits any
  constexpr explicit operator bool() const { return value_heads != 0; }
  bool operator==(const DeltaSpec&) const = default;
};
/// Of a universal build.
inline constexpr DeltaSpec any_delta{
    .key_heads = dynamic, .value_heads = dynamic, .key_dim = dynamic, .value_dim = dynamic, .taps = dynamic};

struct AttnSpec {
  int heads = dynamic, kv_heads = dynamic, head_dim = dynamic;
  bool qk_norm = false;  // RMSNorm over head_dim on q and k, before rope (Qwen3)
  int qkv_bias = 0;      // 0, 1, or dynamic. Qwen2: always; Llama, Qwen3: attention_bias
  int o_bias = 0;        // Llama, Qwen3: attention_bias
  int window = 0;        // tokens that a row of `windowed` layers sees, itself included; 0, a number, or dynamic
  LayerSet windowed{};   // a build with an open `window` admits any
  LatentSpec latent{};   // DeepSeek; head_dim is then that of queries and keys, nope + rope
  bool operator==(const AttnSpec&) const = default;
};

/// A mixture of experts in place of the MLP. Dense models have no experts.
struct MoeSpec {
  int experts = 0, top_k = 0;
  int d_ff = 0;         // of one expert
  int renormalise = 0;  // 0, 1, or dynamic: the weights of the chosen experts are made to sum to one
  int groups = 1;       // of neighbouring experts, of which top_groups take part in the choice
  int top_groups = 1;
  int shared = 0;           // experts that every row meets: one MLP of width shared * d_ff
  LayerSet dense_layers{};  // layers that keep an MLP, of width ModelSpec::d_ff; a build with open `experts` admits any
  bool operator==(const MoeSpec&) const = default;
};
/// Of a universal build.
inline constexpr MoeSpec any_moe{.experts = dynamic,
                                 .top_k = dynamic,
                                 .d_ff = dynamic,
                                 .renormalise = dynamic,
                                 .groups = dynamic,
                                 .top_groups = dynamic,
                                 .shared = dynamic};

struct ModelSpec {
  Arch arch = Arch::llama;
  int d_model = dynamic, d_ff = dynamic, vocab = dynamic, layers = dynamic;
  AttnSpec attn{};
  int mlp_bias = 0;    // Llama: mlp_bias
  bool tied = false;   // lm_head is the embedding table
  int mtp_layers = 0;  // that the checkpoint has behind the last one, to draft tokens with; a build admits any number
  MoeSpec moe{};
  DeltaSpec delta{};
  bool operator==(const ModelSpec&) const = default;
};

/// How a build is cut over ranks. `dynamic`: the universal builds take the degree at run time.
struct Parallel {
  int tp = 1;
  int ep = 1;  // ranks that a mixture's experts are shared out over, whole: 1, every rank has a part of each; or tp
};

/// Which of the ranks this is. Data, never a template argument.
struct Rank {
  int index = 0, size = 1;
  int ep = 1;  // as Parallel's: 1 or size
};

/// The named widths of a transformer. A weight's shape is a list of axes, so a packed weight (q, kv, kv) knows its parts, and
/// shards and shapes follow from the spec alone.
enum class Axis : unsigned char {
  none,
  d_model,
  d_ff,
  vocab,
  q,
  kv,
  heads,
  head_dim,
  experts,
  expert_ff,
  shared_ff,
  q_rank,  // latent attention: the widths of LatentSpec, and of all heads together
  kv_rank,
  latent,  // kv_rank, and the rotated channels
  made,    // keys and values of kv_rank
  value,
  joined,        // two of d_model, side by side
  delta_keys,    // gated delta nets: all key heads side by side,
  delta_values,  // all value heads side by side,
  delta_key_heads,
  delta_value_heads,
  delta_value_dim,
  delta_taps
};

/// Length of an axis under a spec (a sharded one gives the rank's length).
constexpr int size(const ModelSpec& s, Axis a) {
  switch (a) {
    case Axis::d_model: return s.d_model;
    case Axis::d_ff: return s.d_ff;
    case Axis::vocab: return s.vocab;
    case Axis::q: return mul(s.attn.heads, s.attn.head_dim);
    case Axis::kv: return mul(s.attn.kv_heads, s.attn.head_dim);
    case Axis::heads: return s.attn.heads;
    case Axis::head_dim: return s.attn.head_dim;
    case Axis::experts: return s.moe.experts;
    case Axis::expert_ff: return s.moe.d_ff;
    case Axis::shared_ff: return mul(s.moe.d_ff, s.moe.shared);
    case Axis::q_rank: return s.attn.latent.q_rank;
    case Axis::kv_rank: return s.attn.latent.rank;
    case Axis::latent: return add(s.attn.latent.rank, s.attn.latent.rope);
    case Axis::made: return mul(s.attn.heads, add(s.attn.latent.nope, s.attn.latent.value));
    case Axis::value: return mul(s.attn.heads, s.attn.latent.value);
    case Axis::joined: return mul(2, s.d_model);
    case Axis::delta_keys: return mul(s.delta.key_heads, s.delta.key_dim);
    case Axis::delta_values: return mul(s.delta.value_heads, s.delta.value_dim);
    case Axis::delta_key_heads: return s.delta.key_heads;
    case Axis::delta_value_heads: return s.delta.value_heads;
    case Axis::delta_value_dim: return s.delta.value_dim;
    case Axis::delta_taps: return s.delta.taps;
    case Axis::none: break;
  }
  return 1;
}

/// Which switch of the spec says that a projection has a bias.
enum class Bias : unsigned char { never, always, qkv, o, mlp };

constexpr int has(const ModelSpec& s, Bias b) {
  switch (b) {
    case Bias::qkv: return s.attn.qkv_bias;
    case Bias::o: return s.attn.o_bias;
    case Bias::mlp: return s.mlp_bias;
    case Bias::always: return 1;
    case Bias::never: break;
  }
  return 0;
}

/// Rows or columns of a weight: a number (or `dynamic`) and the axes it is made of, in order.
/// Converts from int, so that Linear<quant::No, TPDim::none, 4096, 1024> needs no axes.
struct Width {
  int n = dynamic;
  Axis parts[4] = {};
  Axis turns = Axis::none;
  constexpr Width(int fixed = dynamic) : n(fixed) {}
  constexpr Width(int fixed, Axis a, Axis b = Axis::none, Axis c = Axis::none, Axis d = Axis::none) : n(fixed), parts{a, b, c, d} {}
  /// The same, where a checkpoint has parts in one tensor: there they take turns, as many as this axis is long, each of a turn's
  /// share of every part. (Without: one turn.)
  [[nodiscard]] constexpr Width in_turns(Axis of) const {
    Width w = *this;
    w.turns = of;
    return w;
  }
  bool operator==(const Width&) const = default;
};

/// Where a rank's share of an axis begins and how long it is, in units of the unsharded axis.
struct Share {
  int begin = 0, count = 0;
};

/// Equal cut; the last ranks get less when it does not divide (vocabulary).
constexpr Share share(int n, Rank r) {
  const int each = (n + r.size - 1) / r.size;
  const int begin = each * r.index < n ? each * r.index : n;
  return {begin, begin + each <= n ? each : n - begin};
}
/// KV heads: cut while they suffice, then replicated (rank r holds the head its query heads read).
constexpr Share kv_share(int kv_heads, Rank r) {
  return kv_heads >= r.size ? Share{kv_heads / r.size * r.index, kv_heads / r.size} : Share{r.index * kv_heads / r.size, 1};
}
/// The experts of a rank: neighbours, at most one more than another rank has.
constexpr Share expert_share(int experts, Rank r) {
  if (r.ep == 1) return {0, experts};
  const int begin = experts * r.index / r.size;
  return {begin, experts * (r.index + 1) / r.size - begin};
}
/// Which of `ranks` that share experts out an expert belongs to.
constexpr int owner_of_expert(int expert, int experts, int ranks) { return ((expert + 1) * ranks - 1) / experts; }
/// A rank's share of an axis of the unsharded spec.
constexpr Share share(const ModelSpec& whole, Axis a, Rank r) {
  const int d = whole.attn.head_dim;
  const auto heads = [&](int of, int each) {
    const Share h = share(of, r);
    return Share{h.begin * each, h.count * each};
  };
  switch (a) {
    case Axis::q: return heads(whole.attn.heads, d);
    case Axis::made: return heads(whole.attn.heads, whole.attn.latent.nope + whole.attn.latent.value);
    case Axis::value: return heads(whole.attn.heads, whole.attn.latent.value);
    case Axis::delta_keys: return heads(whole.delta.key_heads, whole.delta.key_dim);
    case Axis::delta_values: return heads(whole.delta.value_heads, whole.delta.value_dim);
    case Axis::kv: {
      const Share h = kv_share(whole.attn.kv_heads, r);
      return {h.begin * d, h.count * d};
    }
    case Axis::expert_ff: return r.ep == 1 ? share(whole.moe.d_ff, r) : Share{0, whole.moe.d_ff};
    case Axis::heads:
    case Axis::d_ff:
    case Axis::shared_ff:
    case Axis::delta_key_heads:
    case Axis::delta_value_heads:
    case Axis::vocab: return share(size(whole, a), r);
    default: return {0, size(whole, a)};  // never cut
  }
}

/// The spec one rank sees. Same function at compile time (holes stay holes) and on the run-time value.
constexpr ModelSpec shard(ModelSpec s, Rank r) {
  if (r.size == 1) return s;
  auto cut = [&](int n) { return n == dynamic || r.size == dynamic ? dynamic : share(n, r).count; };
  s.attn.kv_heads = s.attn.kv_heads == dynamic || r.size == dynamic ? dynamic : kv_share(s.attn.kv_heads, r).count;
  s.attn.heads = cut(s.attn.heads);
  s.d_ff = cut(s.d_ff);
  if (r.ep == 1) s.moe.d_ff = cut(s.moe.d_ff);
  if (r.ep == dynamic) s.moe.d_ff = dynamic;
  s.vocab = cut(s.vocab);
  s.delta.key_heads = cut(s.delta.key_heads);
  s.delta.value_heads = cut(s.delta.value_heads);
  return s;
}

/// Layers whose keys and values are cached, of the first `layers`.
constexpr int cached_layers(const ModelSpec& s, int layers) { return layers - s.delta.layers.before(layers); }
/// Which one a layer is among those of its kind: of the cached ones, or of those with a state.
constexpr int place_of(const ModelSpec& s, int layer) {
  return s.delta.layers.has(layer) ? s.delta.layers.before(layer) : cached_layers(s, layer);
}

/// A hole admits any value; a number admits only itself.
constexpr bool admits(int fixed, int actual) { return fixed == dynamic || fixed == actual; }
constexpr bool admits(const LatentSpec& build, const LatentSpec& l) {
  return build.rank == l.rank && build.rope == l.rope && build.nope == l.nope && build.value == l.value &&
         (build.q_rank == dynamic ? l.q_rank != 0 : build.q_rank == l.q_rank);
}
constexpr bool admits(const MoeSpec& build, const MoeSpec& m) {
  return admits(build.experts, m.experts) && admits(build.top_k, m.top_k) && admits(build.d_ff, m.d_ff) &&
         admits(build.renormalise, m.renormalise) && admits(build.groups, m.groups) && admits(build.top_groups, m.top_groups) &&
         admits(build.shared, m.shared) && (build.experts == dynamic || build.dense_layers == m.dense_layers);
}
constexpr bool admits(const DeltaSpec& build, const DeltaSpec& d) {
  return bool(build) == bool(d) && admits(build.key_heads, d.key_heads) && admits(build.value_heads, d.value_heads) &&
         admits(build.key_dim, d.key_dim) && admits(build.value_dim, d.value_dim) && admits(build.taps, d.taps) &&
         (build.value_heads == dynamic || build.layers == d.layers);
}
constexpr bool admits(const ModelSpec& build, const ModelSpec& m) {
  return build.arch == m.arch && admits(build.d_model, m.d_model) && admits(build.d_ff, m.d_ff) && admits(build.vocab, m.vocab) &&
         admits(build.layers, m.layers) && admits(build.attn.heads, m.attn.heads) && admits(build.attn.kv_heads, m.attn.kv_heads) &&
         admits(build.attn.head_dim, m.attn.head_dim) && build.attn.qk_norm == m.attn.qk_norm &&
         admits(build.attn.qkv_bias, m.attn.qkv_bias) && admits(build.attn.o_bias, m.attn.o_bias) &&
         admits(build.attn.latent, m.attn.latent) && admits(build.attn.window, m.attn.window) &&
         (build.attn.window == dynamic || build.attn.windowed == m.attn.windowed) && admits(build.mlp_bias, m.mlp_bias) &&
         admits(build.moe, m.moe) && admits(build.delta, m.delta);
}

}  // namespace atom::model
