#pragma once
// All Cpu kernels' declarations: include this to instantiate a model on Cpu (and link atom::kernels).
#include "atom/ops/activation_cpu.hpp"
#include "atom/ops/attention_cpu.hpp"
#include "atom/ops/delta_net_cpu.hpp"
#include "atom/ops/embedding_cpu.hpp"
#include "atom/ops/linear_cpu.hpp"
#include "atom/ops/mla_cpu.hpp"
#include "atom/ops/moe_cpu.hpp"
#include "atom/ops/norm_cpu.hpp"
#include "atom/ops/sampling_cpu.hpp"
