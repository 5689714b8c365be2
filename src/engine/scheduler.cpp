#include "atom/engine/scheduler.hpp"

#include <algorithm>

#include "atom/core/error.hpp"

namespace atom::engine {

namespace {
constexpr int page = kernels::page_tokens;
}

Scheduler::Scheduler(const EngineConfig& config, BlockManager& blocks) : config_(config), blocks_(blocks) {
  running_.reserve(static_cast<std::size_t>(config.max_num_seqs));
  step_.reserve(static_cast<std::size_t>(config.max_num_seqs));
  for (int place = config.max_num_seqs; place-- > 0;) places_.push_back(place);  // place 0 is taken first
}

void Scheduler::add(Sequence& s) noexcept {
  Sequence* after = last_;  // new ones are the newest; those that come back are among the oldest
  if (first_ && s.id < first_->id) after = nullptr;
  while (after && after->id > s.id) after = after->previous;
  s.previous = after;
  s.next = after ? after->next : first_;
  (s.next ? s.next->previous : last_) = &s;
  (after ? after->next : first_) = &s;
  s.state = SequenceState::waiting;
  ++waiting_;
}

void Scheduler::unlink(Sequence& s) noexcept {
  (s.previous ? s.previous->next : first_) = s.next;
  (s.next ? s.next->previous : last_) = s.previous;
  s.next = s.previous = nullptr;
  --waiting_;
}

void Scheduler::remove(Sequence& s) noexcept {
  if (s.state == SequenceState::running) {
    running_.erase(std::ranges::find(running_, &s));
    leave(s);
  } else {
    unlink(s);
  }
  blocks_.release(s.blocks);
  s.state = SequenceState::finished;
  for (Scheduled& part : step_)
    if (part.sequence == &s) part.sequence = nullptr;
}

void Scheduler::leave(Sequence& s) noexcept {
  places_.push_back(s.place);
  s.place = -1;
}

std::span<const Scheduled> Scheduler::schedule(double now) noexcept {
  const bool hold = delayed(now);
  const std::uint64_t preempted = preemptions_;
  step_.clear();
  budget_ = config_.max_num_batched_tokens;
  if (config_.mixed_batches) decode();
  resume();
  if (!hold && preemptions_ == preempted) admit();
  if (step_.empty() && !config_.mixed_batches) decode();
  if (config_.speculative_config.drafts() > 0) speculate();
  return step_;
}

std::span<const Scheduled> Scheduler::step() noexcept {
  std::erase_if(step_, [](const Scheduled& part) { return !part.sequence; });
  return step_;
}

void Scheduler::run(Sequence& s, int tokens) noexcept {
  if (s.type() == StepType::prefill) prompt_in_step_ = true;
  step_.push_back({&s, tokens});
  budget_ -= tokens;
}

// One token for every sequence that has only one left. Victims are newer than whatever is in the step already.
void Scheduler::decode() noexcept {
  for (std::size_t i = 0; i < running_.size(); ++i) {
    Sequence& s = *running_[i];
    if (s.remaining() != 1 || s.full()) continue;
    bool fits = false;
    while (!(fits = blocks_.grow(s.blocks, s.length()))) {
      Sequence& newest = *running_.back();
      preempt(newest);
      if (&newest == &s) break;
    }
    if (fits) run(s, 1);
  }
}

// Prompts that have begun. Their pages were taken at admission.
void Scheduler::resume() noexcept {
  for (Sequence* s : running_) {
    if (s->remaining() == 1) continue;
    const int tokens = chunk(*s);
    if (tokens == 0) return;
    run(*s, tokens);
  }
}

void Scheduler::admit() noexcept {
  if (!first_) return;
  const auto needs_page = [](const Sequence& s) { return blocks_for(s.length() + 1) > s.blocks.size(); };
  int keep = 0;  // pages that running sequences need for their next token: a prompt admitted now is not to be preempted for them
  for (const Sequence* s : running_) keep += s->remaining() == 1 && !s->full() && needs_page(*s);
  while (first_ && budget_ > 0 && running() < config_.max_num_seqs) {
    Sequence& s = *first_;
    const int found = blocks_.allocate(s.blocks, s.tokens, s.salt, keep);
    if (found < 0) return;  // nobody overtakes
    s.computed = found * page;
    const int tokens = chunk(s);
    if (tokens == 0) {
      blocks_.release(s.blocks);
      s.computed = 0;
      return;
    }
    if (s.preemptions == 0) s.answer.output.num_cached_tokens = s.computed;
    unlink(s);
    s.state = SequenceState::running;
    s.place = places_.back();
    places_.pop_back();
    running_.insert(std::ranges::upper_bound(running_, s.id, {}, [](const Sequence* r) { return r->id; }), &s);
    run(s, tokens);
    keep += needs_page(s);
  }
}

void Scheduler::speculate() noexcept {
  for (Scheduled& part : step_) {
    Sequence& s = *part.sequence;
    if (!part.draws() || s.drafts.empty()) continue;
    part.drafts = make_room(s, std::min(static_cast<int>(s.drafts.size()), budget_));
    budget_ -= part.drafts;
  }
}

int Scheduler::make_room(Sequence& s, int drafts) noexcept {
  if (blocks_.free() > running() && blocks_.grow(s.blocks, s.length() + drafts)) return drafts;
  return std::clamp(s.blocks.size() * page - s.length(), 0, drafts);
}

void Scheduler::preempt(Sequence& s) noexcept {
  ATOM_ASSERT(&s == running_.back(), "the newest sequence is preempted first");
  running_.pop_back();
  leave(s);
  blocks_.release(s.blocks);
  s.computed = 0;
  s.drafts.clear();  // a restart ends with a draw, behind which there are others
  ++s.preemptions;
  ++preemptions_;
  add(s);
}

// How many of the remaining tokens fit the budget. Chunks end where pages do, unless that leaves none.
int Scheduler::chunk(const Sequence& s) const noexcept {
  const bool may_split = config_.enable_chunked_prefill || s.generated() > 0;  // a restart may be longer than any step
  int tokens = s.remaining();
  if (may_split && config_.long_prefill_token_threshold > 0) tokens = std::min(tokens, config_.long_prefill_token_threshold);
  if (tokens <= budget_) return tokens;
  if (!may_split) return 0;
  return budget_ >= page ? budget_ - budget_ % page : budget_;
}

// The step before the previous call's result is known to have taken until now.
bool Scheduler::delayed(double now) noexcept {
  if (prompt_in_step_) last_prompt_seconds_ = now - last_time_;
  last_time_ = now;
  prompt_in_step_ = false;
  return config_.scheduler_delay_factor > 0 && first_ && !running_.empty() &&
         now - first_->arrival <= config_.scheduler_delay_factor * last_prompt_seconds_;
}

}  // namespace atom::engine
