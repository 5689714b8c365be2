#pragma once
// StepModel: what serving needs of a model: one forward pass over a batch of many sequences, and draws from its logits.
// One idea: above this line are requests, tokens and pages, below it tensors and ranks; a step crosses it twice and can neither
// fail nor allocate.
// To extend: Executor is the real one; a test derives its own (tests/engine/fake_model.hpp).
#include "atom/engine/context.hpp"
#include "atom/ops/sampling_op.hpp"

namespace atom::engine {

class StepModel {
 public:
  virtual ~StepModel() = default;

  /// One step. Sequences may bring one row or many, in any mix. Returns (batch.logits, vocab) float where the model has them,
  /// which may be a device: for sample() and host(), valid until the next call.
  virtual float* forward(const Batch& batch) noexcept = 0;
  /// As forward(), of a drafting layer below draft_layers(): row r starts from hidden state batch.hidden_from[r] of those kept last
  /// (Batch::hidden_rows), of the position before its token. Null where there is none.
  virtual float* draft(const Batch& /*batch*/, int /*layer*/) noexcept { return nullptr; }
  /// The first `rows` rows of what forward() returned where the caller may read and edit them, valid as long.
  [[nodiscard]] virtual float* host(float* logits, [[maybe_unused]] int rows) noexcept { return logits; }
  /// One token for each of `rows` rows of logits, as forward(), draft() or host() returned them; see kernels::sample.
  virtual void sample(const float* logits, const kernels::SampleParams* params, int* tokens, int rows) noexcept = 0;

  /// Whether it runs beside the host, so that a step can be launched before the tokens of the one in front are known. Then sample()
  /// is draw() and collect(), between which one more forward() and draw() may lie, with the first draw's tokens as Batch::carried.
  [[nodiscard]] virtual bool defers() const { return false; }
  /// As sample(), of what forward() returned last; the tokens stay with the model.
  virtual void draw(const float* /*logits*/, const kernels::SampleParams* /*params*/, int /*rows*/) noexcept {}
  /// Waits for the oldest draw that was not collected, of so many rows, and tells its tokens.
  virtual void collect(int* /*tokens*/, int /*rows*/) noexcept {}

  [[nodiscard]] virtual int vocab() const = 0;
  [[nodiscard]] virtual int max_position() const = 0;           ///< tokens of the longest sequence it was trained for
  [[nodiscard]] virtual int context_tokens() const = 0;         ///< tokens the cache holds, all sequences together; whole pages
  [[nodiscard]] virtual int max_rows() const = 0;               ///< tokens per step
  [[nodiscard]] virtual int max_seqs() const = 0;               ///< sequences per step
  [[nodiscard]] virtual int max_logits() const = 0;             ///< rows of logits per step
  [[nodiscard]] virtual int draft_layers() const { return 0; }  ///< that draft() runs
  /// Whether the first tokens of a sequence can be kept without the rest, and the pages of a prefix be used again. Not where layers
  /// carry a state from token to token: then a sequence goes on from its last token, or starts at its first.
  [[nodiscard]] virtual bool rewinds() const { return true; }
};

}  // namespace atom::engine
