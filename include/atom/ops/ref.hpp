#pragma once
// All reference kernels: include this to instantiate a model on Ref.
#include "atom/ops/activation_ref.hpp"
#include "atom/ops/attention_ref.hpp"
#include "atom/ops/delta_net_ref.hpp"
#include "atom/ops/embedding_ref.hpp"
#include "atom/ops/linear_ref.hpp"
#include "atom/ops/mla_ref.hpp"
#include "atom/ops/moe_ref.hpp"
#include "atom/ops/norm_ref.hpp"
#include "atom/ops/sampling_ref.hpp"
