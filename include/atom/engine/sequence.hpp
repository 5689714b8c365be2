#pragma once
// Sequence: one answer in the making: its tokens, its pages, and where it stands.
// One idea: `tokens` is everything there is to know (prompt, then what was drawn) and `computed` says how much of it the cache
// holds. Prefill, decode, a prompt in chunks and a restart after preemption are then one thing: tokens that remain.
//     waiting --admitted--> running --ended--> finished        running --preempted--> waiting, computed = 0
// To extend: state that a request carries through the steps is a member here, made before the first step.
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "atom/engine/answer.hpp"
#include "atom/engine/block_manager.hpp"
#include "atom/engine/logit_edits.hpp"
#include "atom/ops/sampling_op.hpp"

namespace atom::engine {

enum class SequenceState : unsigned char { waiting, running, finished };
enum class StepType : unsigned char { prefill, decode };

struct Sequence {
  std::uint64_t id = 0;  // ascending by arrival: what is older goes first
  SequenceState state = SequenceState::waiting;

  std::vector<int> tokens;  // room for the longest it may become is made at the start
  int prompt = 0;           // the first so many of them
  int computed = 0;         // the first so many are in the cache, or will be when what was launched has run
  int carried = -1;         // the row of the model's last draw that the last token is, while the host does not know it; or -1
  int longest = std::numeric_limits<int>::max();  // so many tokens end it
  std::vector<int> drafts;  // guesses at what follows `tokens`; room for all that a step may verify is made at the start
  BlockTable blocks;
  int place = -1;                     // while it runs: which of max_num_seqs, where the model keeps a state for it
  std::optional<std::uint64_t> salt;  // of the prefix cache; nothing: neither looks there nor publishes
  double arrival = 0;                 // seconds on the engine's clock
  int preemptions = 0;

  kernels::SampleParams draw;  // counter: index of the token that comes next
  int logprobs = -1;           // as SamplingParams
  std::unique_ptr<LogitEdits> edits;
  Answer answer;

  bool abort = false;                // ends before the next step
  std::vector<Sequence*> followers;  // further answers to the same prompt: they start when it is computed, and share its pages

  Sequence* next = nullptr;  // neighbours among the waiting
  Sequence* previous = nullptr;

  [[nodiscard]] int length() const noexcept { return static_cast<int>(tokens.size()); }
  [[nodiscard]] int generated() const noexcept { return length() - prompt; }
  [[nodiscard]] int remaining() const noexcept { return length() - computed; }
  /// No further step: its last token was drawn, and is waited for.
  [[nodiscard]] bool full() const noexcept { return length() >= longest; }
  [[nodiscard]] StepType type() const noexcept {
    return generated() > 0 && remaining() == 1 ? StepType::decode : StepType::prefill;
  }
};

}  // namespace atom::engine
