#pragma once
// Qwen2, Qwen2.5: Llama's shape; q, k and v always have a bias, o never.   https://arxiv.org/abs/2407.10671
#include "atom/model/llama.hpp"

namespace atom::model {

template <Build M> using Qwen2 = Llama<M>;

}  // namespace atom::model
