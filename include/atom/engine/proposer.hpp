#pragma once
// Proposer: guesses the tokens that come next in a sequence; the model verifies them all in one forward pass.
// One idea: a guess costs rows, never correctness. A draft is kept exactly if it is what the model draws at its place, with the
// logits, edits and random number it would have had without drafts; so answers are the same tokens whatever is proposed, also at a
// temperature: to accept d where p(d) is what the draw says, and else to keep that draw, which is not d, is the rule of Leviathan
// et al. 2022 (https://arxiv.org/abs/2211.17192) for drafts that are certain.
// To extend: derive, and add a row to the table of methods (src/engine/proposer.cpp), or pass it to LLMEngine. One that runs a
// model finds the rows that were just computed in `batch`: their pages, and which of them are part of the text now.
#include <memory>
#include <span>

#include "atom/engine/engine_config.hpp"

namespace atom::engine {

/// One sequence of the step that has just run, in the order of its batch.
struct Drafting {
  std::span<const int> tokens;  // prompt and answer, with what this step drew; behind the end of an answer there may be more
  std::span<const int> pages;   // of the sequence
  int computed = 0;             // tokens whose keys and values are in the cache
  int kept = 0;                 // of its rows in this step, from the first: those that are part of `tokens`; others are void
  std::span<int> drafts;        // out: what may follow `tokens`; empty: nothing is wanted, as while a prompt is not complete
  int drafted = 0;              // out: the first so many of them are proposed
};

class Proposer {
 public:
  virtual ~Proposer() = default;
  /// The ids it may draft lie below; 0: those of the sequence itself. Must be the model's where it is not 0.
  [[nodiscard]] virtual int vocab() const noexcept { return 0; }
  /// Of the model's layers that draft, it runs so many behind every step. Where there are any, steps keep the hidden states of all
  /// their rows in order (Batch::hidden_rows), and pages hold rows of those layers besides, each made of the token behind its own
  /// too: so pages are shared only among texts that agree there, and drafts have pages while there are enough.
  [[nodiscard]] virtual int layers() const noexcept { return 0; }
  /// After every step, also for answers that end with it: others may find their pages. batch: as it ran; its arrays are the host's.
  /// Allocates nothing. A draft outside the vocabulary ends its list.
  virtual void propose(const Batch& batch, std::span<Drafting> step) noexcept = 0;
};

/// Finds the last tokens of a sequence in its own text and proposes what followed there: prompt lookup. Good for answers that
/// repeat their prompt (summaries, edits, code) or themselves; costs no model.
/// The longest match counts, of equally long ones the latest; a copy may run into itself, so that a loop is proposed at any length.
class NgramProposer final : public Proposer {
 public:
  /// Matches of min to max tokens, 1 <= min <= max.
  NgramProposer(int min, int max) : min_(min), max_(max) {}
  void propose(const Batch& batch, std::span<Drafting> step) noexcept override;
  /// Fills drafts, all or none; how many.
  [[nodiscard]] int look_up(std::span<const int> tokens, std::span<int> drafts) const noexcept;

 private:
  int min_, max_;
};

/// The one that config.speculative_config.method names; null: there is no method. config: resolved; model: what it drafts for, and
/// maybe with; must outlive it. Throws atom::Error.
std::unique_ptr<Proposer> make_proposer(const EngineConfig& config, StepModel& model);
/// The layers() of that one: what ExecutorOptions::draft_layers has to be.
[[nodiscard]] int draft_layers(const SpeculativeConfig& config);

}  // namespace atom::engine
