#pragma once
// EngineArgs: everything that a user may set about an engine. Config: the same, checked and filled in for one model and one
// program. One idea: a field exists once. Config is an EngineArgs is an EngineConfig, so the scheduler, the executor and the person
// at the command line speak of the same member by the same name.
//   EngineArgs args;  args.model = dir;  args.max_num_seqs = 8;
//   const Config config = resolve(args, universal_builds());
//   Executor model(executor_options(config), universal_builds());
// To extend: a member here, its row in src/engine/settings_table.cpp (flag, variable, meaning), and the code it steers.
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "atom/engine/compilation_config.hpp"
#include "atom/engine/engine_config.hpp"
#include "atom/engine/generation_config.hpp"

namespace atom::engine {

struct DeviceKind;
struct ExecutorOptions;
class Registry;

/// How requests are shared out over copies of the model. Not built: only the defaults are accepted.
struct ParallelConfig {
  int data_parallel_size = 1, data_parallel_size_local = 1;
  int data_parallel_rank = 0, data_parallel_rank_local = 0;
  std::string data_parallel_master_ip = "127.0.0.1";
  int data_parallel_master_port = 29500, data_parallel_base_port = 0;  // 0: a free one
  int world_size = 1;                                                  // ranks of one copy; filled in by resolve()
  [[nodiscard]] int world_size_across_dp() const { return world_size * data_parallel_size; }
};

struct EngineArgs : EngineConfig {
  EngineArgs() {  // sizes that a laptop can serve
    max_num_seqs = 16;
    max_num_batched_tokens = 512;
  }

  std::string model;            // a directory: config.json, *.safetensors, tokenizer.json
  std::string backend = "cpu";  // as ExecutorOptions
  std::string activation = "bf16", quant = "none", load_dummy = "none";
  std::string gpu_gemm = "auto";
  std::string cpu_isa;   // empty: the best of the machine
  std::string cpu_mask;  // empty: the CPUs that this process may use
  int tensor_parallel_size = 1, threads = 0;
  bool trust_remote_code = false;

  double gpu_memory_utilization = 0.9;  // share of the memory this process may take: weights, KV cache and scratch
  std::string kv_cache_dtype = "auto";  // auto: as activations; bf16, f32, int8, fp8
  int kv_cache_block_size = 16;

  bool enforce_eager = false;
  CompilationConfig compilation_config;
  ParallelConfig parallel_config;

  int bos_token_id = -1, eos_token_id = -1;  // -1: the model's
  std::vector<int> stop_token_ids;           // end an answer too

  bool enable_expert_parallel = false, enable_dp_attention = false, asyncio_mode = false;
  std::string master_addr = "127.0.0.1", torch_profiler_dir;
  int port = 8006;
};

struct Config : EngineArgs {
  ModelConfig hf_config;                 // config.json
  GenerationDefaults generation_config;  // generation_config.json
  DType torch_dtype = DType::bf16;       // that config.json names
  std::string quant_config = "none";     // scheme of the layers: none, int8
  std::string build;                     // name of the build that runs the model
  std::vector<int> graph_bs;             // sequences per recorded step, largest first; empty: none is recorded whole
  std::vector<int> piece_tokens;         // tokens per step that is recorded in pieces, largest first; empty: none is
  std::size_t memory_limit = 0;          // bytes that gpu_memory_utilization stands for
  std::vector<std::string> warnings;     // sentences about settings that have no effect here
};

/// Reads the model's files, chooses the build and sizes the KV cache; loads nothing. Unless num_kvcache_blocks says otherwise the
/// cache holds max_num_seqs sequences of max_model_len, or as many tokens as memory_limit has room for; when that is less than
/// one sequence, max_model_len is lowered to it if it was not given.
/// Throws atom::Error naming the field that cannot work.
Config resolve(const EngineArgs& args, const Registry& builds);

/// What says which model runs where, and nothing about sizes.
ExecutorOptions model_options(const EngineArgs& args);
/// Refuses levels and modes that no program with this device can have; resolve() does it too. Throws atom::Error.
void check_graphs(const CompilationConfig& wanted, const DeviceKind& device);
/// What an Executor needs of a resolved config.
ExecutorOptions executor_options(const Config& config);

/// The defaults for a program: one that holds a single build has nothing to choose among.
EngineArgs default_args(const Registry& builds);

}  // namespace atom::engine
