#include "atom/engine/batch_rows.hpp"

#include <algorithm>

#include "atom/core/error.hpp"
#include "atom/engine/block_manager.hpp"

namespace atom::engine {

BatchRows::BatchRows(const EngineConfig& config) {
  const auto rows = static_cast<std::size_t>(config.max_num_batched_tokens), seqs = static_cast<std::size_t>(config.max_num_seqs);
  for (auto* array : {&tokens_, &positions_, &slots_}) array->resize(rows);
  table_.resize(seqs * static_cast<std::size_t>(blocks_for(config.max_model_len)));
  first_row_.resize(seqs + 1);
  context_.resize(seqs);
}

Batch BatchRows::begin(int pages) noexcept {
  return {.tokens = tokens_.data(),
          .positions = positions_.data(),
          .slots = slots_.data(),
          .block_table = table_.data(),
          .first_row = first_row_.data(),
          .context = context_.data(),
          .table_stride = pages};
}

std::span<int> BatchRows::add(Batch& batch, int first, int rows, std::span<const int> pages) noexcept {
  constexpr int page = kernels::page_tokens;
  ATOM_ASSERT(blocks_for(first + rows) <= static_cast<int>(pages.size()), "rows without a page");
  const auto i = static_cast<std::size_t>(batch.seqs++), begin = static_cast<std::size_t>(batch.rows);
  batch.rows += rows;
  for (int position = first; position < first + rows; ++position) {
    const std::size_t row = begin + static_cast<std::size_t>(position - first);
    positions_[row] = position;
    slots_[row] = pages[static_cast<std::size_t>(position / page)] * page + position % page;
  }
  std::ranges::copy(pages, table_.begin() + static_cast<std::ptrdiff_t>(i) * batch.table_stride);
  context_[i] = first + rows;
  first_row_[i + 1] = batch.rows;
  return std::span(tokens_).subspan(begin, static_cast<std::size_t>(rows));
}

}  // namespace atom::engine
