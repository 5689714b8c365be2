#pragma once
// PagedBatch: the sequences of a batch, and which pages of a cache their tokens lie in, in random order. For tests of attention.
#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "atom/ops/kv_layout.hpp"
#include "atom/quant/codec.hpp"

namespace atom::test {

struct PagedBatch {
  struct Sequence {
    int rows, context;
  };
  int page;                       // tokens
  int pages = 3;                  // in all; some are nobody's
  int longest = 1;                // pages of a sequence, at most: the table's stride
  std::vector<int> first_row{0};  // (seqs + 1)
  std::vector<int> context;       // (seqs)
  std::vector<int> table;         // (seqs, longest), -1 behind a sequence's last page

  PagedBatch(const std::vector<Sequence>& seqs, int page_tokens, unsigned seed) : page(page_tokens) {
    for (const Sequence& s : seqs) {
      first_row.push_back(first_row.back() + s.rows);
      context.push_back(s.context);
      pages += pages_of(s.context);
      longest = std::max(longest, pages_of(s.context));
    }
    std::vector<int> free(static_cast<std::size_t>(pages));
    std::iota(free.begin(), free.end(), 0);
    std::shuffle(free.begin(), free.end(), std::mt19937(seed));
    table.assign(seqs.size() * static_cast<std::size_t>(longest), -1);
    for (std::size_t s = 0; s < seqs.size(); ++s)
      for (int p = 0; p < pages_of(context[s]); ++p) *entry(s, p) = free.back(), free.pop_back();
  }
  [[nodiscard]] int rows() const { return first_row.back(); }
  [[nodiscard]] int seqs() const { return static_cast<int>(context.size()); }

  /// visit(page, token within it), token by token of every sequence.
  template <class Visit> void each_token(Visit visit) {
    for (std::size_t s = 0; s < context.size(); ++s)
      for (int t = 0; t < context[s]; ++t) visit(*entry(s, t / page), t % page);
  }

 private:
  [[nodiscard]] int pages_of(int tokens) const { return (tokens + page - 1) / page; }
  int* entry(std::size_t seq, int p) { return &table[seq * static_cast<std::size_t>(longest) + static_cast<std::size_t>(p)]; }
};

/// x as a row of a cache of Kv.
template <class Kv, int D>
void put_row(const float (&x)[D], std::vector<kernels::cache_element<Kv>>& pages, int page, int head, int token, int kv_heads) {
  using layout = kernels::KvLayout<Kv, D>;
  auto* to = pages.data() + layout::at(page, head, token, kv_heads);
  if constexpr (kernels::has_scales<Kv>) {
    const float scale = *layout::scale(pages.data(), page, head, token, kv_heads) = quant::codec<Kv>::scale_of(x, D);
    for (int i = 0; i < D; ++i) to[i] = quant::codec<Kv>::encode(x[i], scale);
  } else {
    for (int i = 0; i < D; ++i) to[i] = Kv(x[i]);
  }
}

}  // namespace atom::test
