#pragma once
// ModelRunner: a scheduled step as the model sees it: arrays of rows, pages and contexts, then edited logits and drawn tokens.
// One idea: the arrays are sized for the largest step once and written from the front; prompts' chunks and running answers are rows
// of the same batch, in the scheduler's order, because attention takes any mix. Drafts are rows behind a sequence's own, and the
// row of each is drawn from as if the drafts before it were part of the text; what does not match is forgotten.
// To extend: another input of the forward pass is another array here and in Batch.
#include <span>
#include <vector>

#include "atom/engine/batch_rows.hpp"
#include "atom/engine/engine_config.hpp"
#include "atom/engine/scheduler.hpp"
#include "atom/engine/step_model.hpp"

namespace atom::engine {

class ModelRunner {
 public:
  /// config: resolved. blocks lends the page that padding writes to, if config.batch_buckets asks for padding. keep_hidden: steps
  /// keep the hidden states of all rows, for layers that draft.
  ModelRunner(StepModel& model, const EngineConfig& config, BlockManager& blocks, bool keep_hidden);

  /// Runs the step. Returns (step.size()): the tokens drawn for each sequence, none where some remain: drafts that the model would
  /// have drawn itself, then one more. Valid until the next call. Their log probabilities are appended to the sequences' outputs.
  std::span<const std::span<const int>> run(std::span<const Scheduled> step) noexcept;
  /// As run(), without waiting for the tokens; of sequences whose logits the host neither edits nor reads, without drafts. Their
  /// last tokens may be those of the launch() before, which were not collected yet (Sequence::carried).
  void launch(std::span<const Scheduled> step) noexcept;
  /// What the oldest launch() that was not collected drew, a token for each of the `rows` sequences that did. Valid until the next
  /// call of this or of run().
  std::span<const int> collect(std::size_t rows) noexcept;
  /// What ran last.
  [[nodiscard]] const Batch& batch() const noexcept { return batch_; }

 private:
  void build(std::span<const Scheduled> step) noexcept;
  void add(const Scheduled& part) noexcept;
  void pad() noexcept;
  void draw(std::span<const Scheduled> step, float* logits, int rows) noexcept;
  void edit(const Scheduled& part, float* logits, std::size_t row) noexcept;
  std::span<const int> judge(const Scheduled& part, float* logits, std::size_t row) noexcept;

  StepModel& model_;
  const EngineConfig& config_;
  BlockTable padding_;
  BatchRows rows_;
  std::vector<int> carried_;                   // (rows)
  std::vector<int> states_;                    // (seqs)
  std::vector<int> logit_rows_;                // (logits)
  std::vector<int> hidden_rows_;               // (rows): all of them; or empty
  std::vector<kernels::SampleParams> params_;  // (logits)
  std::vector<int> drawn_;                     // (logits)
  std::vector<std::span<const int>> result_;   // (seqs)
  Batch batch_;
};

}  // namespace atom::engine
