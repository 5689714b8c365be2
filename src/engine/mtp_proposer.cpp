#include "atom/engine/mtp_proposer.hpp"

#include <algorithm>
#include <numeric>

#include "atom/core/error.hpp"
#include "atom/engine/block_manager.hpp"

namespace atom::engine {

MtpProposer::MtpProposer(const EngineConfig& config, StepModel& model) : model_(model), rows_(config) {
  const auto seqs = static_cast<std::size_t>(config.max_num_seqs);
  hidden_from_.resize(static_cast<std::size_t>(config.max_num_batched_tokens));
  for (auto* array : {&logit_rows_, &drawn_, &drafting_}) array->resize(seqs);
  likeliest_.resize(seqs, {.temperature = 0});
}

void MtpProposer::propose(const Batch& batch, std::span<Drafting> step) noexcept {
  int pages = 0;
  for (const Drafting& d : step) pages = std::max(pages, static_cast<int>(d.pages.size()));
  begin(pages);
  for (std::size_t i = 0; i < step.size(); ++i) {
    const Drafting& d = step[i];
    const int first = d.computed - d.kept;
    add(d, first, d.tokens.subspan(static_cast<std::size_t>(first) + 1, static_cast<std::size_t>(d.kept)), batch.first_row[i]);
    if (!d.drafts.empty()) wants_logits(static_cast<int>(i));
  }
  run(step);
  while (batch_.logits > 0) {  // the draft behind the last, where one is wanted and has a page to write to
    const int drafting = batch_.logits;
    begin(pages);
    for (int from = 0; from < drafting; ++from) {
      const int i = drafting_[static_cast<std::size_t>(from)];
      const Drafting& d = step[static_cast<std::size_t>(i)];
      const int position = d.computed - 1 + d.drafted;
      if (d.drafted == static_cast<int>(d.drafts.size()) || blocks_for(position + 1) > static_cast<int>(d.pages.size())) continue;
      add(d, position, d.drafts.subspan(static_cast<std::size_t>(d.drafted) - 1, 1), from);
      wants_logits(i);
    }
    if (batch_.rows == 0) return;
    run(step);
  }
}

void MtpProposer::begin(int pages) noexcept {
  batch_ = rows_.begin(pages);
  batch_.logit_rows = batch_.hidden_rows = logit_rows_.data();
  batch_.hidden_from = hidden_from_.data();
}

// Rows at positions first, first + 1..., with the tokens behind those; `hidden`: where the states of these positions begin.
void MtpProposer::add(const Drafting& part, int first, std::span<const int> tokens, int hidden) noexcept {
  const auto from = hidden_from_.begin() + batch_.rows;
  std::ranges::copy(tokens, rows_.add(batch_, first, static_cast<int>(tokens.size()), part.pages).begin());
  std::iota(from, hidden_from_.begin() + batch_.rows, hidden);
}

// The sequence that was added last drafts: the logits of its last row, whose state the next draft starts from.
void MtpProposer::wants_logits(int index) noexcept {
  const auto at = static_cast<std::size_t>(batch_.logits++);
  logit_rows_[at] = batch_.rows - 1;
  drafting_[at] = index;
}

void MtpProposer::run(std::span<Drafting> step) noexcept {
  batch_.hiddens = batch_.logits;
  const float* logits = model_.draft(batch_, 0);
  if (batch_.logits == 0) return;
  model_.sample(logits, likeliest_.data(), drawn_.data(), batch_.logits);
  for (std::size_t j = 0; j < static_cast<std::size_t>(batch_.logits); ++j) {
    Drafting& d = step[static_cast<std::size_t>(drafting_[j])];
    d.drafts[static_cast<std::size_t>(d.drafted++)] = drawn_[j];
  }
}

}  // namespace atom::engine
