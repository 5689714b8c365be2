#pragma once
// DeepSeek-V3, R1, V3.1, Kimi-K2, Moonlight: V2's attention; experts are chosen by biased scores, and layers behind the last draft.
// https://arxiv.org/abs/2412.19437
#include "atom/model/deepseek_v2.hpp"
#include "atom/model/mtp.hpp"

namespace atom::model {

template <Build M> using DeepseekV3Layer = DecoderLayer<M, LatentAttention<M>, DenseOrSparse<GatedMlp<M>, BiasedMoe<M>>>;
template <Build M> using DeepseekV3 = CausalLM<M, DeepseekV3Layer<M>, MtpLayer<M, DeepseekV3Layer<M>>>;

}  // namespace atom::model
