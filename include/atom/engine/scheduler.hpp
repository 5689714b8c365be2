#pragma once
// Scheduler: which sequences take part in the next step, and with how many of their tokens.
// One idea: a step has a budget of tokens and the cache a number of pages. First come, first served; prompts are started as soon
// as there is room, ahead of nothing but the one token that every running answer gets. When pages run out, the newest sequence
// goes back to waiting and is computed again later: the oldest always advances, so all end.
//   mixed_batches (the default): running answers take their token first, prompts share the rest of the same step.
//   otherwise: prompts first, in steps of their own; answers only in steps without a prompt.
// Drafts come last: they take what is left of the budget and of the pages, so they delay no prompt and preempt nobody.
// To extend: another order of admission is another add(); another sharing of the budget is another chunk().
#include <cstdint>
#include <span>
#include <vector>

#include "atom/engine/engine_config.hpp"
#include "atom/engine/sequence.hpp"

namespace atom::engine {

/// A sequence's part of a step: its next `tokens` tokens. If none remain after them, the step draws the one that follows, and
/// verifies the sequence's first `drafts` drafts.
struct Scheduled {
  Sequence* sequence = nullptr;
  int tokens = 0, drafts = 0;
  [[nodiscard]] bool draws() const noexcept { return tokens == sequence->remaining(); }
  [[nodiscard]] int rows() const noexcept { return tokens + drafts; }
};

/// Holds no sequence's memory. Everything after construction is noexcept and allocates nothing, however many wait.
class Scheduler {
 public:
  /// config: resolved; no sequence may grow beyond config.max_model_len, which the pages can hold.
  Scheduler(const EngineConfig& config, BlockManager& blocks);

  /// Queues a sequence by its id. Its block table must have room for the longest it may become.
  void add(Sequence& sequence) noexcept;
  /// Takes a waiting or running sequence out, also of the last step, and gives its pages back.
  void remove(Sequence& sequence) noexcept;
  /// The next step; empty when there is nothing to do. Valid until the next call. now: seconds.
  std::span<const Scheduled> schedule(double now) noexcept;
  /// The last step, less the sequences that were removed since.
  std::span<const Scheduled> step() noexcept;

  /// Gives a sequence pages for so many drafts behind its text; returns how many have one. A page for drafts alone is taken only
  /// while there is one for every running sequence.
  int make_room(Sequence& sequence, int drafts) noexcept;

  [[nodiscard]] int waiting() const noexcept { return waiting_; }
  [[nodiscard]] int running() const noexcept { return static_cast<int>(running_.size()); }
  [[nodiscard]] std::uint64_t preemptions() const noexcept { return preemptions_; }

 private:
  void decode() noexcept;
  void resume() noexcept;
  void admit() noexcept;
  void speculate() noexcept;
  void preempt(Sequence& sequence) noexcept;
  void run(Sequence& sequence, int tokens) noexcept;
  [[nodiscard]] bool delayed(double now) noexcept;
  [[nodiscard]] int chunk(const Sequence& sequence) const noexcept;
  void unlink(Sequence& sequence) noexcept;
  void leave(Sequence& sequence) noexcept;

  const EngineConfig& config_;
  BlockManager& blocks_;
  Sequence* first_ = nullptr;  // waiting, by id
  Sequence* last_ = nullptr;
  int waiting_ = 0;
  std::vector<Sequence*> running_;  // by id
  std::vector<int> places_;         // that no running sequence has: a stack
  std::vector<Scheduled> step_;
  int budget_ = 0;  // tokens left in the step being made
  bool prompt_in_step_ = false;
  std::uint64_t preemptions_ = 0;
  double last_time_ = 0, last_prompt_seconds_ = 0;  // of the previous call; that of the last step with a prompt
};

}  // namespace atom::engine
