#pragma once
// All GPU kernels' declarations: include this to instantiate a model on Hip or Emu<W>.
#include "atom/ops/activation_gpu.hpp"
#include "atom/ops/attention_gpu.hpp"
#include "atom/ops/embedding_gpu.hpp"
#include "atom/ops/linear_gpu.hpp"
#include "atom/ops/mla_gpu.hpp"
#include "atom/ops/moe_gpu.hpp"
#include "atom/ops/norm_gpu.hpp"
#include "atom/ops/sampling_gpu.hpp"
