#pragma once
// Drafter: a text through a model and then through its drafting layer, without an engine.
#include "golden.hpp"

namespace atom::test {

/// A prompt's rows through the model, then through its drafting layer, whose row r has hidden state r and token r + 1.
class Drafter {
 public:
  Drafter(ExecutorOptions o, const std::vector<int>& prompt, const Registry& registry)
      : executor_(with_draft(std::move(o), prompt.size()), registry), tokens_(prompt) {
    for (int i = 0; i < rows(); ++i) positions_.push_back(i);
    for (int p = 0; p * kernels::page_tokens < rows(); ++p) pages_.push_back(last_page - p);
    for (int i : positions_)
      slots_.push_back(pages_[static_cast<std::size_t>(i / kernels::page_tokens)] * kernels::page_tokens +
                       i % kernels::page_tokens);
    Batch all = batch(0, rows());
    all.hidden_rows = positions_.data();
    all.hiddens = rows();
    static_cast<void>(executor_.forward(all));
  }
  [[nodiscard]] int rows() const { return static_cast<int>(tokens_.size()); }

  /// Rows [first, first + n) of the drafting layer, whose hidden states are `from` of those kept; keeps its own for another draft.
  std::vector<float> draft(int first, int n, const int* from, bool keep = false) {
    Batch b = batch(first, n);
    b.tokens = tokens_.data() + first + 1;
    b.hidden_from = from;
    if (keep) b.hidden_rows = positions_.data(), b.hiddens = n;
    const float* logits = executor_.host(executor_.draft(b, 0), n);
    return {logits, logits + static_cast<std::ptrdiff_t>(n) * executor_.vocab()};
  }
  [[nodiscard]] const int* identity() const { return positions_.data(); }

 private:
  static constexpr int last_page = 15;
  static ExecutorOptions with_draft(ExecutorOptions o, std::size_t rows) {
    o.draft_layers = 1;
    o.max_rows = o.max_logits = static_cast<int>(rows);
    return o;
  }
  Batch batch(int first, int n) {
    bounds_[1] = n;
    context_ = first + n;
    Batch b;
    b.tokens = tokens_.data() + first;
    b.positions = positions_.data() + first;
    b.slots = slots_.data() + first;
    b.block_table = pages_.data();
    b.first_row = bounds_;
    b.context = &context_;
    b.rows = b.logits = n;
    b.seqs = 1;
    b.table_stride = static_cast<int>(pages_.size());
    return b;
  }

  Executor executor_;
  std::vector<int> tokens_, positions_, slots_, pages_;
  int bounds_[2] = {}, context_ = 0;
};

}  // namespace atom::test
