#include "atom/engine/model_runner.hpp"

#include <algorithm>
#include <numeric>

#include "atom/core/error.hpp"
#include "atom/engine/forward_mode.hpp"

namespace atom::engine {

namespace {
constexpr int page = kernels::page_tokens;
}

ModelRunner::ModelRunner(StepModel& model, const EngineConfig& config, BlockManager& blocks) : model_(model), config_(config) {
  const auto rows = static_cast<std::size_t>(config.max_num_batched_tokens), seqs = static_cast<std::size_t>(config.max_num_seqs);
  for (auto* array : {&tokens_, &positions_, &slots_}) array->resize(rows);
  table_.resize(seqs * static_cast<std::size_t>(blocks_for(config.max_model_len)));
  first_row_.resize(seqs + 1);
  for (auto* array : {&context_, &logit_rows_, &drawn_, &result_}) array->resize(seqs);
  params_.resize(seqs);
  if (config.batch_buckets.empty()) return;
  padding_.reserve(1);
  const int token = 0;
  ATOM_ASSERT(blocks.free() > 0, "resolve() left a page for padding");
  blocks.allocate(padding_, {&token, 1}, {});
}

std::span<const int> ModelRunner::run(std::span<const Scheduled> step) noexcept {
  const Batch batch = build(step);
  const int wanted = static_cast<int>(std::ranges::count_if(step, [](auto& s) { return s.tokens == s.sequence->remaining(); }));
  float* logits = model_.forward(batch);
  draw(step, logits, wanted);
  return {result_.data(), step.size()};
}

Batch ModelRunner::build(std::span<const Scheduled> step) noexcept {
  rows_ = stride_ = 0;
  for (const auto& [sequence, tokens] : step) stride_ = std::max(stride_, sequence->blocks.size());
  Batch b;
  for (const auto& [sequence, tokens] : step) {
    add(*sequence, tokens, b.seqs++);
    if (tokens == sequence->remaining()) logit_rows_[static_cast<std::size_t>(b.logits++)] = rows_ - 1;
  }
  b.tokens = tokens_.data();
  b.positions = positions_.data();
  b.slots = slots_.data();
  b.block_table = table_.data();
  b.first_row = first_row_.data();
  b.context = context_.data();
  b.logit_rows = logit_rows_.data();
  b.rows = rows_;
  b.table_stride = stride_;
  pad(b);
  return b;
}

void ModelRunner::add(const Sequence& s, int tokens, int index) noexcept {
  const auto row = static_cast<std::size_t>(rows_), i = static_cast<std::size_t>(index);
  const std::span<const int> pages = s.blocks.ids();
  ATOM_ASSERT(blocks_for(s.computed + tokens) <= s.blocks.size(), "tokens without a page");
  std::copy_n(s.tokens.begin() + s.computed, tokens, tokens_.begin() + rows_);
  std::iota(positions_.begin() + rows_, positions_.begin() + rows_ + tokens, s.computed);
  for (std::size_t r = row; r < row + static_cast<std::size_t>(tokens); ++r) {
    const int p = positions_[r];
    slots_[r] = pages[static_cast<std::size_t>(p / page)] * page + p % page;
  }
  std::ranges::copy(pages, table_.begin() + static_cast<std::ptrdiff_t>(i) * stride_);
  first_row_[i] = rows_;
  context_[i] = s.computed + tokens;
  rows_ += tokens;
  first_row_[i + 1] = rows_;
}

// A step of answers alone becomes one of a bucket's size: one-token sequences on a page of nobody's, whose logits nobody reads.
void ModelRunner::pad(Batch& b) noexcept {
  const int bucket = padded_size(config_.batch_buckets, b.seqs);
  if (b.rows != b.seqs || b.logits != b.seqs) return;
  for (; b.seqs < bucket; ++b.seqs) {
    const auto i = static_cast<std::size_t>(b.seqs);
    const int block = padding_.ids().front();
    tokens_[i] = positions_[i] = 0;
    slots_[i] = block * page;
    table_[i * static_cast<std::size_t>(stride_)] = block;
    context_[i] = 1;
    logit_rows_[i] = b.seqs;
    first_row_[i + 1] = b.seqs + 1;
  }
  b.rows = b.logits = b.seqs;
}

void ModelRunner::draw(std::span<const Scheduled> step, float* logits, int rows) noexcept {
  const int vocab = model_.vocab();
  const auto row_of = [&](std::size_t row) { return logits + row * static_cast<std::size_t>(vocab); };
  std::size_t row = 0;
  const auto reads = [](const Scheduled& s) { return s.sequence->edits || s.sequence->logprobs >= 0; };
  if (rows > 0 && std::ranges::any_of(step, reads)) logits = model_.host(logits, rows);
  for (const auto& [s, tokens] : step) {
    if (tokens != s->remaining()) continue;
    s->draw.counter = static_cast<std::uint64_t>(s->generated());
    if (s->edits) s->edits->apply(row_of(row), s->generated());
    params_[row++] = s->draw;
  }
  if (rows > 0) model_.sample(logits, params_.data(), drawn_.data(), rows);
  row = 0;
  for (std::size_t i = 0; i < step.size(); ++i) {
    Sequence& s = *step[i].sequence;
    result_[i] = -1;
    if (step[i].tokens != s.remaining()) continue;
    const int token = result_[i] = drawn_[row];
    if (s.edits) s.edits->count(token);
    if (s.logprobs >= 0) {
      if (s.edits) s.edits->restore(row_of(row));
      auto& list = s.answer.output.logprobs;  // room was made at the start
      list.resize(list.size() + static_cast<std::size_t>(1 + s.logprobs));
      log_probabilities(row_of(row), vocab, token, s.logprobs, list.data() + list.size() - (1 + s.logprobs));
    }
    ++row;
  }
}

}  // namespace atom::engine
