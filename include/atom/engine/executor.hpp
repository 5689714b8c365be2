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
#include "atom/engine/progress.hpp"
#include "atom/engine/registry.hpp"
#include "atom/engine/step_model.hpp"

namespace atom::engine {

struct ExecutorOptions {
  std::string model_dir;
  std::string backend = "cpu";  // cpu, ref
  DType act = DType::bf16;      // f32, bf16
  std::string quant = "none";   // none, int8
  std::string dummy = "none";   // none, or weights without a checkpoint, to time a config.json: empty, zero, random (loader.hpp)
  int tensor_parallel_size = 1;
  int threads = 0;               // in all, shared out over ranks; 0: one per CPU this process may use
  int max_rows = 512;            // tokens per step
  int max_seqs = 1;              // sequences per step
  int max_logits = 1;            // rows of logits per step
  int context_tokens = 0;        // cache capacity in tokens, all sequences together; 0: max_model_len
  int max_model_len = 0;         // tokens of the longest sequence, at most the checkpoint's max_position; 0: that
  bool dry = false;              // shapes and plans only: no weights, no cache; forward() must not be called
  std::size_t memory_limit = 0;  // bytes it may take; 0: what this process may still take (system_memory.hpp)
  Progress* progress = nullptr;
};

struct MemoryUse {  // bytes, summed over ranks
  std::size_t weights = 0, kv_cache = 0, activations = 0, sampling = 0, rope_table = 0;
  std::size_t thread_scratch = 0;   // of kernels, and of loading
  std::size_t weights_in_file = 0;  // pages of the mapped file, which the system may drop and read again
};

class Executor final : public StepModel {
 public:
  /// Throws atom::Error: config, checkpoint, no build, or memory. Whether it all fits is known from config.json and the headers
  /// of the checkpoint: where it does not, the message is the plan, and no weight has been read.
  Executor(const ExecutorOptions& options, const Registry& builds);
  ~Executor() override;

  /// One step over all ranks. Returns (batch.logits, vocab) float, valid until the next call.
  float* forward(const Batch& batch) noexcept override;
  /// Samples `rows` rows of logits; see kernels::sample.
  void sample(const float* logits, const kernels::SampleParams* params, int* tokens, int rows) noexcept override;

  [[nodiscard]] const ModelConfig& config() const;
  [[nodiscard]] const Variant& build() const;
  [[nodiscard]] const MemoryUse& memory() const;
  [[nodiscard]] std::size_t parameters() const;  ///< elements, tied ones once
  [[nodiscard]] int vocab() const override;
  [[nodiscard]] int max_position() const override;    ///< tokens of the longest sequence
  [[nodiscard]] int context_tokens() const override;  ///< cache capacity
  [[nodiscard]] int max_rows() const override;
  [[nodiscard]] int max_seqs() const override;
  [[nodiscard]] int max_logits() const override;
  /// What one step over `batch` launches on one rank, by a dry run.
  [[nodiscard]] Plan plan(const Batch& batch) const;
  /// One step over `batch`, and sampling its logits: the seconds each launch of the first rank took, in the plan's order; sample is
  /// the last one.
  [[nodiscard]] std::vector<double> time_launches(const Batch& batch, const kernels::SampleParams* params, int* tokens);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace atom::engine
