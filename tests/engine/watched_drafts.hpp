#pragma once
// WatchedDrafts: MtpProposer on a FakeModel; after every step all rows of the drafting layer's cache are what the text says,
// whoever wrote them.
#include "atom/engine/mtp_proposer.hpp"

#include "fake_model.hpp"

namespace atom::engine::fake {

class WatchedDrafts final : public Proposer {
 public:
  /// rows: counts what was checked.
  WatchedDrafts(const EngineConfig& config, FakeModel& model, std::uint64_t& rows)
      : inner_(resolve(config, model), model), model_(model), rows_(rows) {}
  [[nodiscard]] int layers() const noexcept override { return inner_.layers(); }
  void propose(const Batch& batch, std::span<Drafting> step) noexcept override {
    inner_.propose(batch, step);
    for (const Drafting& d : step) {
      ASSERT_GT(d.tokens.size(), static_cast<std::size_t>(d.computed)) << "the token behind the last row is known";
      const auto states = states_of(d.tokens);
      for (int p = 0; p < d.computed; ++p, ++rows_) {
        const auto i = static_cast<std::size_t>(p);
        const int page = d.pages[i / kernels::page_tokens], slot = page * kernels::page_tokens + p % kernels::page_tokens;
        ASSERT_EQ(model_.draft_cell(slot), draft_cell_of(states[i], d.tokens[i + 1])) << "position " << p << " of " << d.computed;
      }
      EXPECT_LE(static_cast<std::size_t>(d.drafted), d.drafts.size());
      EXPECT_EQ(d.drafted > 0, !d.drafts.empty());
    }
  }

 private:
  MtpProposer inner_;
  FakeModel& model_;
  std::uint64_t& rows_;
};

}  // namespace atom::engine::fake
