#pragma once
// Executor: one loaded model, ready to step. Owns the checkpoint mapping, the ranks with their weights, cache and scratch, and
// the rope table.
// One idea: everything that can fail happens in the constructor; afterwards forward() and sample() are noexcept and allocate
// nothing.
// To extend: pass a Registry with your own builds instead of, or with, the universal ones.
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "atom/engine/any_model.hpp"
#include "atom/engine/config.hpp"
#include "atom/engine/device.hpp"
#include "atom/engine/progress.hpp"
#include "atom/engine/registry.hpp"
#include "atom/engine/step_model.hpp"

namespace atom::engine {

struct ExecutorOptions {
  std::string model_dir;
  std::string backend = "cpu";  // cpu, ref; hip in programs built with ATOM_GPU
  DType act = DType::bf16;      // f32, bf16
  std::string quant = "none";   // none, int8
  std::string kv = "auto";      // what keys and values are stored in, as Wanted: auto, bf16, f32, int8, fp8
  std::string dummy = "none";   // none, or weights without a checkpoint, to time a config.json: empty, zero, random (loader.hpp)
  std::string gemm = "auto";    // products of many rows on a GPU: auto, own, vendor
  int tensor_parallel_size = 1;
  bool expert_parallel = false;  // ranks share a mixture's experts out, instead of having a part of each
  int threads = 0;               // in all, shared out over ranks; 0: default_threads() of processors.hpp
  std::string cpu_mask;          // CPUs they run on, shared out over ranks: 0-3,8 or 0x10f; empty: those this process may use
  int max_rows = 512;            // tokens per step
  int max_seqs = 1;              // sequences per step
  int max_logits = 1;            // rows of logits per step
  int context_tokens = 0;        // cache capacity in tokens, all sequences together; 0: max_model_len
  int draft_layers = 0;          // of the checkpoint's layers that draft: 0 to num_nextn_predict_layers
  int max_model_len = 0;         // tokens of the longest sequence, at most the checkpoint's max_position; 0: that
  bool dry = false;              // shapes and plans only: no weights, no cache; forward() must not be called
  std::size_t memory_limit = 0;  // bytes it may take; 0: memory_share of what is left
  double memory_share = 1;       // of available_memory()
  std::vector<int> graph_sizes;  // steps of so many sequences, of one token each, are recorded, where the device can
  std::vector<int> piece_sizes;  // and what lies between attention in steps of so many tokens
  Progress* progress = nullptr;
};

class Executor final : public StepModel {
 public:
  /// Throws atom::Error: config, checkpoint, no build, or memory. Whether it all fits is known from config.json and the headers
  /// of the checkpoint: where it does not, the message is the plan, and no weight has been read.
  Executor(const ExecutorOptions& options, const Registry& builds);
  ~Executor() override;

  float* forward(const Batch& batch) noexcept override;
  float* draft(const Batch& batch, int layer) noexcept override;
  void sample(const float* logits, const kernels::SampleParams* params, int* tokens, int rows) noexcept override;
  float* host(float* logits, int rows) noexcept override;
  /// On one GPU: tokens that one rank draws are unknown to the others.
  [[nodiscard]] bool defers() const override;
  void draw(const float* logits, const kernels::SampleParams* params, int rows) noexcept override;
  void collect(int* tokens, int rows) noexcept override;

  [[nodiscard]] const ModelConfig& config() const;
  [[nodiscard]] const Variant& build() const;
  [[nodiscard]] const MemoryUse& memory() const;
  /// Bytes of its device, or of the host, that may still be taken. Throws atom::Error where the device is missing.
  [[nodiscard]] std::size_t available_memory() const;
  [[nodiscard]] std::size_t parameters() const;  ///< elements, tied ones once
  [[nodiscard]] int threads() const;             ///< of all ranks
  [[nodiscard]] int vocab() const override;
  [[nodiscard]] int max_position() const override;    ///< tokens of the longest sequence
  [[nodiscard]] int context_tokens() const override;  ///< cache capacity
  [[nodiscard]] int max_rows() const override;
  [[nodiscard]] int max_seqs() const override;
  [[nodiscard]] int max_logits() const override;
  [[nodiscard]] int draft_layers() const override;  ///< ExecutorOptions'
  [[nodiscard]] bool rewinds() const override;
  /// What one step over `batch` launches on one rank, by a dry run.
  [[nodiscard]] Plan plan(const Batch& batch) const;
  /// And what greedy draws of so many rows launch behind it.
  [[nodiscard]] Dry::Launch plan_draw(int rows) const;
  /// One step over `batch`, and sampling its logits: the seconds each launch of the first rank took, in the plan's order; sample is
  /// the last one.
  [[nodiscard]] std::vector<double> time_launches(const Batch& batch, const kernels::SampleParams* params, int* tokens);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace atom::engine
