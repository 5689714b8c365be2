#pragma once
// Qwen3-MoE: Qwen3's attention; in most layers, or all, a mixture of experts.   https://arxiv.org/abs/2505.09388
#include "atom/model/qwen3.hpp"

namespace atom::model {

template <Build M> using Qwen3Moe = CausalLM<M, DecoderLayer<M, Qwen3Attention<M>, DenseOrSparse<GatedMlp<M>, SparseMoe<M>>>>;

}  // namespace atom::model
