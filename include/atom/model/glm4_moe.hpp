#pragma once
// GLM-4.5, GLM-4.6: half of every head rotates; the first layers are dense, the others DeepSeek-V3's mixture of experts, and a
// layer behind the last drafts. https://arxiv.org/abs/2508.06471
#include "atom/model/llama.hpp"
#include "atom/model/mtp.hpp"
#include "atom/model/qwen3.hpp"

namespace atom::model {

/// The large ones normalise q and k as Qwen3 does, Air does not.
template <Build M> using Glm4Attention = std::conditional_t<M::spec.attn.qk_norm, Qwen3Attention<M>, LlamaAttention<M>>;

template <Build M> using Glm4MoeLayer = DecoderLayer<M, Glm4Attention<M>, DenseOrSparse<GatedMlp<M>, BiasedMoe<M>>>;
template <Build M> using Glm4Moe = CausalLM<M, Glm4MoeLayer<M>, MtpLayer<M, Glm4MoeLayer<M>>>;

}  // namespace atom::model
