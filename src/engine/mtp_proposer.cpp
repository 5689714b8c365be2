#include "atom/engine/mtp_proposer.hpp"

#include <algorithm>
#include <numeric>

#include "atom/core/error.hpp"
#include "atom/engine/block_manager.hpp"

namespace atom::engine {

namespace {
constexpr int page = kernels::page_tokens;
}

MtpProposer::MtpProposer(const EngineConfig& config, StepModel& model) : model_(model) {
  const auto rows = static_cast<std::size_t>(config.max_num_batched_tokens), seqs = static_cast<std::size_t>(config.max_num_seqs);
  for (auto* array : {&tokens_, &positions_, &slots_, &hidden_from_}) array->resize(rows);
  table_.resize(seqs * static_cast<std::size_t>(blocks_for(config.max_model_len)));
  first_row_.resize(seqs + 1);
  for (auto* array : {&context_, &logit_rows_, &drawn_, &drafting_}) array->resize(seqs);
  likeliest_.resize(seqs, {.temperature = 0});
}

void MtpProposer::propose(const Batch& batch, std::span<Drafting> step) noexcept {
  clear();
  for (const Drafting& d : step) batch_.table_stride = std::max(batch_.table_stride, static_cast<int>(d.pages.size()));
  for (std::size_t i = 0; i < step.size(); ++i) {
    const Drafting& d = step[i];
    const int first = d.computed - d.kept;
    add(d, first, d.tokens.subspan(static_cast<std::size_t>(first) + 1, static_cast<std::size_t>(d.kept)), batch.first_row[i]);
    if (!d.drafts.empty()) wants_logits(static_cast<int>(i));
  }
  run(step);
  while (batch_.logits > 0) {  // the draft behind the last, where one is wanted and has a page to write to
    const int drafting = batch_.logits;
    clear();
    for (int from = 0; from < drafting; ++from) {
      const int i = drafting_[static_cast<std::size_t>(from)];
      const Drafting& d = step[static_cast<std::size_t>(i)];
      const int position = d.computed - 1 + d.drafted;
      if (d.drafted == static_cast<int>(d.drafts.size()) || position >= static_cast<int>(d.pages.size()) * page) continue;
      add(d, position, d.drafts.subspan(static_cast<std::size_t>(d.drafted) - 1, 1), from);
      wants_logits(i);
    }
    if (batch_.rows == 0) return;
    run(step);
  }
}

void MtpProposer::clear() noexcept {
  batch_ = {.tokens = tokens_.data(),
            .positions = positions_.data(),
            .slots = slots_.data(),
            .block_table = table_.data(),
            .first_row = first_row_.data(),
            .context = context_.data(),
            .logit_rows = logit_rows_.data(),
            .table_stride = batch_.table_stride,
            .hidden_rows = logit_rows_.data(),
            .hidden_from = hidden_from_.data()};
}

// Rows at positions first, first + 1..., with the tokens behind those; `hidden`: where the states of these positions begin.
void MtpProposer::add(const Drafting& part, int first, std::span<const int> tokens, int hidden) noexcept {
  const auto i = static_cast<std::size_t>(batch_.seqs++);
  const int rows = static_cast<int>(tokens.size()), begin = batch_.rows, end = begin + rows;
  ATOM_ASSERT(blocks_for(first + rows) <= static_cast<int>(part.pages.size()), "rows without a page");
  std::ranges::copy(tokens, tokens_.begin() + begin);
  std::iota(positions_.begin() + begin, positions_.begin() + end, first);
  std::iota(hidden_from_.begin() + begin, hidden_from_.begin() + end, hidden);
  for (auto r = static_cast<std::size_t>(begin); r < static_cast<std::size_t>(end); ++r)
    slots_[r] = part.pages[static_cast<std::size_t>(positions_[r] / page)] * page + positions_[r] % page;
  std::ranges::copy(part.pages, table_.begin() + static_cast<std::ptrdiff_t>(i) * batch_.table_stride);
  first_row_[i] = begin;
  context_[i] = first + rows;
  first_row_[i + 1] = batch_.rows = end;
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
