#pragma once
// MtpProposer: drafts with the checkpoint's own layer for multi-token prediction (atom/model/mtp.hpp).
// One idea: row p of the layer is made of the model's hidden state at p and of the token behind it, and says what follows both. So
// every row that a step adds to a text goes through the layer right behind that step, and the layer's cache is as complete as the
// model's, under the same page numbers. Further drafts are rows that start from the layer's own states; the next step's real
// rows are written over them.
// Gloeckle et al. 2024, https://arxiv.org/abs/2404.19737; DeepSeek-V3, https://arxiv.org/abs/2412.19437, section 2.2
#include <vector>

#include "atom/engine/batch_rows.hpp"
#include "atom/engine/proposer.hpp"

namespace atom::engine {

class MtpProposer final : public Proposer {
 public:
  static constexpr int run_layers = 1;  // the checkpoint's first one, again and again

  /// config: resolved. model must outlive it, and be loaded with the layer.
  MtpProposer(const EngineConfig& config, StepModel& model);
  [[nodiscard]] int layers() const noexcept override { return run_layers; }
  void propose(const Batch& batch, std::span<Drafting> step) noexcept override;

 private:
  void begin(int pages) noexcept;
  void add(const Drafting& part, int first, std::span<const int> tokens, int hidden) noexcept;
  void wants_logits(int index) noexcept;
  void run(std::span<Drafting> step) noexcept;

  StepModel& model_;
  BatchRows rows_;
  std::vector<int> hidden_from_;                  // (rows)
  std::vector<int> logit_rows_, drawn_;           // (seqs): of those that draft
  std::vector<int> drafting_;                     // (seqs): which they are
  std::vector<kernels::SampleParams> likeliest_;  // (seqs)
  Batch batch_;
};

}  // namespace atom::engine
