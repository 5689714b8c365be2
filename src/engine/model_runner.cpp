#include "atom/engine/model_runner.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "atom/core/error.hpp"
#include "atom/engine/forward_mode.hpp"

namespace atom::engine {

ModelRunner::ModelRunner(StepModel& model, const EngineConfig& config, BlockManager& blocks, bool keep_hidden)
    : model_(model), config_(config), rows_(config) {
  const auto rows = static_cast<std::size_t>(config.max_num_batched_tokens), seqs = static_cast<std::size_t>(config.max_num_seqs);
  const auto logits = static_cast<std::size_t>(logit_rows(config));
  carried_.resize(rows);
  states_.resize(seqs);
  result_.resize(seqs);
  for (auto* array : {&logit_rows_, &drawn_}) array->resize(logits);
  params_.resize(logits);
  if (keep_hidden) {
    hidden_rows_.resize(rows);
    std::iota(hidden_rows_.begin(), hidden_rows_.end(), 0);
  }
  if (config.batch_buckets.empty()) return;
  padding_.reserve(1);
  const int token = 0;
  ATOM_ASSERT(blocks.free() > 0, "resolve() left a page for padding");
  blocks.allocate(padding_, {&token, 1}, {});
}

std::span<const std::span<const int>> ModelRunner::run(std::span<const Scheduled> step) noexcept {
  build(step);
  const int wanted = batch_.logits;
  if (!hidden_rows_.empty()) {
    batch_.hidden_rows = hidden_rows_.data();
    batch_.hiddens = batch_.rows;
  }
  pad();
  draw(step, model_.forward(batch_), wanted);
  return {result_.data(), step.size()};
}

void ModelRunner::launch(std::span<const Scheduled> step) noexcept {
  build(step);
  const int wanted = batch_.logits;
  pad();
  const float* logits = model_.forward(batch_);
  if (wanted == 0) return;
  std::size_t row = 0;
  for (const Scheduled& part : step)
    if (part.draws()) edit(part, nullptr, row++);
  model_.draw(logits, params_.data(), wanted);
}

std::span<const int> ModelRunner::collect(std::size_t rows) noexcept {
  model_.collect(drawn_.data(), static_cast<int>(rows));
  return std::span(drawn_).first(rows);
}

void ModelRunner::build(std::span<const Scheduled> step) noexcept {
  int pages = 0;
  for (const Scheduled& part : step) pages = std::max(pages, part.sequence->blocks.size());
  batch_ = rows_.begin(pages);
  batch_.logit_rows = logit_rows_.data();
  batch_.states = states_.data();
  for (const Scheduled& part : step) {
    add(part);
    for (int back = part.drafts; part.draws() && back >= 0; --back)
      logit_rows_[static_cast<std::size_t>(batch_.logits++)] = batch_.rows - 1 - back;
  }
}

void ModelRunner::add(const Scheduled& part) noexcept {
  const Sequence& s = *part.sequence;
  states_[static_cast<std::size_t>(batch_.seqs)] = s.place;
  std::fill_n(carried_.begin() + batch_.rows, part.rows(), -1);
  if (s.carried >= 0) {
    ATOM_ASSERT(part.tokens == 1 && part.draws(), "only the last token can be unknown");
    carried_[static_cast<std::size_t>(batch_.rows)] = s.carried;
    batch_.carried = carried_.data();
  }
  const std::span<int> tokens = rows_.add(batch_, s.computed, part.rows(), s.blocks.ids());
  std::copy_n(s.drafts.begin(), part.drafts, std::copy_n(s.tokens.begin() + s.computed, part.tokens, tokens.begin()));
}

// A step of answers alone becomes one of a bucket's size: one-token sequences on a page of nobody's, whose logits nobody reads.
void ModelRunner::pad() noexcept {
  Batch& b = batch_;
  const int bucket = padded_size(config_.batch_buckets, b.seqs);
  if (b.rows != b.seqs || b.logits != b.seqs) return;
  while (b.seqs < bucket) {
    const auto i = static_cast<std::size_t>(b.seqs);
    carried_[i] = states_[i] = -1;
    logit_rows_[i] = b.seqs;
    rows_.add(b, 0, 1, padding_.ids()).front() = 0;
  }
  b.logits = b.seqs;
}

void ModelRunner::draw(std::span<const Scheduled> step, float* logits, int rows) noexcept {
  std::ranges::fill(result_, std::span<const int>());
  if (rows == 0) return;
  const auto reads = [](const Scheduled& part) { return part.sequence->edits || part.sequence->logprobs >= 0; };
  if (std::ranges::any_of(step, reads)) logits = model_.host(logits, rows);
  const auto each = [&](auto&& action) {  // part of the step, its index, its first row of logits
    std::size_t row = 0;
    for (std::size_t i = 0; i < step.size(); ++i)
      if (step[i].draws()) action(step[i], i, std::exchange(row, row + 1 + static_cast<std::size_t>(step[i].drafts)));
  };
  each([&](const Scheduled& part, std::size_t, std::size_t row) { edit(part, logits, row); });
  model_.sample(logits, params_.data(), drawn_.data(), rows);
  each([&](const Scheduled& part, std::size_t i, std::size_t row) { result_[i] = judge(part, logits, row); });
}

// Each row as if the drafts before it had been drawn.
void ModelRunner::edit(const Scheduled& part, float* logits, std::size_t row) noexcept {
  Sequence& s = *part.sequence;
  for (int j = 0; j <= part.drafts; ++j, ++row) {
    const int generated = s.generated() + j;
    if (s.edits) {
      if (j > 0) s.edits->count(s.drafts[static_cast<std::size_t>(j - 1)]);
      s.edits->apply(logits + row * static_cast<std::size_t>(model_.vocab()), generated);
    }
    s.draw.counter = static_cast<std::uint64_t>(generated);
    params_[row] = s.draw;
  }
}

std::span<const int> ModelRunner::judge(const Scheduled& part, float* logits, std::size_t row) noexcept {
  Sequence& s = *part.sequence;
  const auto drafts = static_cast<std::size_t>(part.drafts), vocab = static_cast<std::size_t>(model_.vocab());
  const int* drawn = drawn_.data() + row;
  std::size_t accepted = 0;
  while (accepted < drafts && drawn[accepted] == s.drafts[accepted]) ++accepted;
  if (s.edits) {
    for (std::size_t j = drafts; j > accepted; --j) s.edits->take_back(s.drafts[j - 1]);
    s.edits->count(drawn[accepted]);
  }
  if (s.logprobs >= 0) {
    for (std::size_t j = drafts + 1; s.edits && j-- > 0;) s.edits->restore(logits + (row + j) * vocab);
    const auto each = static_cast<std::size_t>(1 + s.logprobs);
    auto& list = s.answer.output.logprobs;  // room was made at the start
    for (std::size_t j = 0; j <= accepted; ++j) {
      list.resize(list.size() + each);
      log_probabilities(logits + (row + j) * vocab, model_.vocab(), drawn[j], s.logprobs, list.data() + list.size() - each);
    }
  }
  return {drawn, accepted + 1};
}

}  // namespace atom::engine
