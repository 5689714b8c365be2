#include "atom/engine/block_manager.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <numeric>
#include <random>
#include <type_traits>

namespace atom::engine {
namespace {

constexpr int page = kernels::page_tokens;
using Tokens = std::vector<int>;

Tokens numbers(int from, int n) {
  Tokens t(static_cast<std::size_t>(n));
  std::iota(t.begin(), t.end(), from);
  return t;
}

Tokens operator+(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// A sequence whose tokens are all computed and published.
BlockTable published(BlockManager& m, const Tokens& tokens, std::uint64_t salt = 0) {
  BlockTable t;
  t.reserve(64);
  EXPECT_GE(m.allocate(t, tokens, salt), 0);
  m.publish(t, tokens);
  return t;
}

int found(BlockManager& m, const Tokens& tokens, std::uint64_t salt = 0) {
  BlockTable t;
  t.reserve(64);
  return m.allocate(t, tokens, salt);
}

static_assert(!std::is_copy_constructible_v<BlockTable> && !std::is_copy_assignable_v<BlockTable>,
              "a page that is in two tables was claimed twice, never copied");

TEST(BlockTable, GivesItsPagesBackAtItsEnd) {
  BlockManager m(4);
  {
    const BlockTable a = published(m, numbers(0, 40));
    EXPECT_EQ(a.size(), 3);
    EXPECT_EQ(m.used(), 3);
    BlockTable b = published(m, numbers(100, 10));
    EXPECT_EQ(m.free(), 0);
    BlockTable c = std::move(b);
    EXPECT_EQ(m.used(), 4);
    c = BlockTable();
    EXPECT_EQ(m.used(), 3);
  }
  EXPECT_EQ(m.used(), 0);
  EXPECT_EQ(m.free(), 4);
}

TEST(BlockTable, ReleasingTwiceIsHarmless) {
  BlockManager m(2);
  BlockTable t = published(m, numbers(0, 20));
  m.release(t);
  m.release(t);
  EXPECT_EQ(m.free(), 2);
}

TEST(BlockManager, SharesAPrefixByReference) {
  BlockManager m(8);
  const Tokens prompt = numbers(0, 3 * page);
  const BlockTable a = published(m, prompt + numbers(500, 5));
  BlockTable b;
  b.reserve(8);
  EXPECT_EQ(m.allocate(b, prompt + numbers(700, 5), 0), 3);
  EXPECT_TRUE(std::equal(b.ids().begin(), b.ids().begin() + 3, a.ids().begin()));
  EXPECT_NE(a.ids()[3], b.ids()[3]);
  EXPECT_EQ(m.references(a.ids()[0]), 2);
  EXPECT_EQ(m.used(), 5);
}

TEST(BlockManager, NeverReusesTheLastToken) {
  BlockManager m(8);
  const BlockTable a = published(m, numbers(0, 2 * page));
  EXPECT_EQ(found(m, numbers(0, 2 * page)), 1);  // a forward pass needs a row
  EXPECT_EQ(found(m, numbers(0, 2 * page + 1)), 2);
}

TEST(BlockManager, PublishesOnlyAfterTheForward) {
  BlockManager m(8);
  const Tokens prompt = numbers(0, 3 * page);
  BlockTable a;
  a.reserve(8);
  ASSERT_EQ(m.allocate(a, prompt, 0), 0);
  EXPECT_EQ(found(m, prompt), 0) << "nothing is computed yet";
  m.publish(a, std::span(prompt).first(page + 7));
  EXPECT_EQ(found(m, prompt), 1) << "one page is full";
  m.publish(a, prompt);
  EXPECT_EQ(found(m, prompt), 2);
}

TEST(BlockManager, EvictsTheLeastRecentlyReleasedFirst) {
  BlockManager m(3);
  const Tokens a = numbers(0, page), b = numbers(100, page), c = numbers(200, page), more = {1};
  published(m, a);
  published(m, b);
  published(m, c);
  EXPECT_EQ(m.cached(), 3);
  EXPECT_EQ(m.vacant(), 0);
  {  // used again: a is now the newest of the three
    BlockTable again;
    again.reserve(2);
    ASSERT_EQ(m.allocate(again, a + more, 0), 1);  // takes a page from b, the oldest
  }
  EXPECT_EQ(found(m, b + more), 0);
  EXPECT_EQ(m.cached(), 1) << "c went for the page of b + more's";
  EXPECT_EQ(found(m, a + more), 1);
}

TEST(BlockManager, EvictsTheEndOfAPrefixBeforeItsBeginning) {
  BlockManager m(4);
  const Tokens text = numbers(0, 4 * page);
  published(m, text);
  BlockTable other;
  other.reserve(2);
  ASSERT_EQ(m.allocate(other, numbers(900, 2 * page), {}), 0);
  m.release(other);
  EXPECT_EQ(found(m, text + Tokens{1}), -1);  // five pages do not fit into four
  EXPECT_EQ(found(m, numbers(0, 3 * page)), 2);
}

TEST(BlockManager, TakesVacantPagesBeforeCachedOnes) {
  BlockManager m(4);
  published(m, numbers(0, 2 * page));
  BlockTable t;
  t.reserve(4);
  ASSERT_EQ(m.allocate(t, numbers(500, 2 * page), {}), 0);
  EXPECT_EQ(m.cached(), 2);
  EXPECT_EQ(m.vacant(), 0);
}

TEST(BlockManager, RefusesWithoutChangingAnything) {
  BlockManager m(4);
  const BlockTable a = published(m, numbers(0, 2 * page));
  BlockTable t;
  t.reserve(8);
  EXPECT_EQ(m.allocate(t, numbers(0, 5 * page), 0), -1);
  EXPECT_TRUE(t.empty());
  EXPECT_EQ(m.references(a.ids()[0]), 1);
  EXPECT_EQ(m.allocate(t, numbers(0, 3 * page), 0, 2), -1) << "keep_free";
  EXPECT_EQ(m.allocate(t, numbers(0, 3 * page), 0, 1), 2);
  EXPECT_FALSE(m.grow(t, 5 * page));
  EXPECT_EQ(t.size(), 3);
  EXPECT_TRUE(m.grow(t, 4 * page));
  EXPECT_EQ(m.free(), 0);
}

// A prefix that is cached and unreferenced counts as free pages only once.
TEST(BlockManager, FoundPagesLeaveTheFreeOnes) {
  BlockManager m(4);
  published(m, numbers(0, 2 * page));
  BlockTable t;
  t.reserve(8);
  EXPECT_EQ(m.allocate(t, numbers(0, 2 * page) + numbers(900, 3 * page), 0), -1);
  EXPECT_EQ(m.allocate(t, numbers(0, 2 * page) + numbers(900, 2 * page), 0), 2);
}

TEST(BlockManager, SaltsDoNotShare) {
  BlockManager m(8);
  const BlockTable a = published(m, numbers(0, 2 * page), 1);
  EXPECT_EQ(found(m, numbers(0, 2 * page + 1), 2), 0);
  EXPECT_EQ(found(m, numbers(0, 2 * page + 1), 1), 2);
}

// A page whose content depends on the token behind it is shared only by texts that agree there too.
TEST(BlockManager, NamesCoverWhatAPageWasMadeOf) {
  for (const int ahead : {0, 1}) {
    BlockManager m(12, 7, nullptr, ahead);
    const Tokens text = numbers(0, 2 * page);
    { const BlockTable a = published(m, text + numbers(500, 3)); }
    EXPECT_EQ(found(m, text + numbers(500, 3)), 2) << ahead;
    EXPECT_EQ(found(m, text + numbers(500, 1)), 2) << ahead;
    EXPECT_EQ(found(m, text + numbers(600, 3)), ahead ? 1 : 2) << "the second page was made of token 500";
    EXPECT_EQ(found(m, numbers(0, page + 1)), 1) << ahead;
    { const BlockTable b = published(m, text + numbers(600, 3)); }
    EXPECT_EQ(found(m, text + numbers(600, 3)), 2) << ahead;
    EXPECT_EQ(found(m, text + numbers(500, 3)), 2) << "both are known";
    EXPECT_EQ(m.cached(), ahead ? 3 : 2);
    m.clear_cache();
    { const BlockTable c = published(m, text); }
    EXPECT_EQ(m.cached(), ahead ? 1 : 2) << "what is behind the second page is not known";
  }
}

PrefixHash constant(const PrefixHash&, std::span<const int>, std::uint64_t) noexcept { return {1, 2}; }
PrefixHash of_last_token(const PrefixHash&, std::span<const int> tokens, std::uint64_t) noexcept {
  return {static_cast<std::uint64_t>(tokens[page - 1]), 0};
}

TEST(BlockManager, BAD36CollisionsAreNoHits) {
  BlockManager m(8, 0, constant);
  const BlockTable a = published(m, numbers(0, page));
  EXPECT_EQ(found(m, numbers(1, page + 1)), 0) << "same hash, other tokens";
  EXPECT_EQ(found(m, numbers(0, page + 1)), 1);
  const BlockTable b = published(m, numbers(1, page));  // takes the name over
  EXPECT_EQ(found(m, numbers(1, page + 1)), 1);
  EXPECT_EQ(found(m, numbers(0, page + 1)), 0);
}

// Same hash and same tokens in the page, after another beginning: only the page before tells them apart.
TEST(BlockManager, BAD36SamePageAfterAnotherBeginningIsNoHit) {
  BlockManager m(8, 0, of_last_token);
  const Tokens same = numbers(500, page);
  const BlockTable a = published(m, numbers(0, page) + same);
  EXPECT_EQ(found(m, numbers(100, page) + same + Tokens{1}), 0);
  const BlockTable b = published(m, numbers(100, page));
  EXPECT_EQ(found(m, numbers(100, page) + same + Tokens{1}), 1) << "the second page belongs to the other beginning";
}

TEST(BlockManager, APageTwiceIsNamedOnce) {
  BlockManager m(8);
  const Tokens text = numbers(0, page + 1);
  BlockTable a, b;
  a.reserve(4), b.reserve(4);
  ASSERT_EQ(m.allocate(a, text, 0), 0);
  ASSERT_EQ(m.allocate(b, text, 0), 0);  // both computed it: neither was published when the other came
  m.publish(a, text);
  m.publish(b, text);
  m.release(b);
  EXPECT_EQ(m.cached(), 0);
  m.release(a);
  EXPECT_EQ(m.cached(), 1);
  EXPECT_EQ(m.free(), 8);
}

TEST(BlockManager, ClearedCacheIsForgottenAndLivePagesStay) {
  BlockManager m(8);
  const Tokens text = numbers(0, 2 * page);
  const BlockTable a = published(m, text);
  published(m, numbers(500, page));
  m.clear_cache();
  EXPECT_EQ(found(m, text + Tokens{1}), 0);
  EXPECT_EQ(m.used(), 2);
  EXPECT_EQ(m.vacant(), 6);
}

PrefixHash crowded(const PrefixHash&, std::span<const int> tokens, std::uint64_t) noexcept {
  return {5, static_cast<std::uint64_t>(tokens[0])};  // all names want the same place in the table
}

TEST(BlockManager, NamesThatCollideInTheTableAreAllFound) {
  BlockManager m(21, 0, crowded);  // the one that stays free serves found()
  std::vector<BlockTable> tables;
  for (int i = 0; i < 20; ++i) tables.push_back(published(m, numbers(100 * i, page)));
  std::vector<bool> named(20, true);
  for (const int gone : {7, 0, 19, 1, 12, 11, 13, 6, 8, 2}) {
    m.release(tables[static_cast<std::size_t>(gone)]);
    named[static_cast<std::size_t>(gone)] = false;
    {
      BlockTable rest;  // all vacant pages and one more: the one just released is evicted
      rest.reserve(21);
      ASSERT_EQ(m.allocate(rest, numbers(5000, (m.vacant() + 1) * page), {}), 0);
    }
    for (int i = 0; i < 20; ++i)
      EXPECT_EQ(found(m, numbers(100 * i, page + 1)), named[static_cast<std::size_t>(i)]) << i << " after " << gone;
  }
}

// Random use against bookkeeping by hand: counts add up, and two tables share a page only where their tokens are the same.
TEST(BlockManager, BAD36RandomUseKeepsItsInvariants) {
  for (const BlockManager::Hash hash :
       {BlockManager::Hash{nullptr}, BlockManager::Hash{of_last_token}, BlockManager::Hash{constant}}) {
    std::mt19937 random(3);
    const auto pick = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
    BlockManager m(24, 42, hash);
    struct Live {
      Tokens tokens;
      BlockTable table;
    };
    std::vector<Live> live;
    long hits = 0;
    for (int step = 0; step < 20000; ++step) {
      const int what = pick(0, 9);
      if (what < 4) {
        Live l;
        for (int i = pick(1, 4); i > 0; --i) l.tokens = l.tokens + Tokens(page, pick(0, 2));
        l.tokens.resize(l.tokens.size() - static_cast<std::size_t>(pick(0, page - 1)));
        l.table.reserve(8);
        const int hit = m.allocate(l.table, l.tokens, 0);
        if (hit < 0) continue;
        hits += hit;
        for (const Live& other : live)
          for (std::size_t i = 0; i < l.table.ids().size(); ++i)
            for (std::size_t j = 0; j < other.table.ids().size(); ++j) {
              if (l.table.ids()[i] != other.table.ids()[j]) continue;
              ASSERT_EQ(i, j);
              ASSERT_TRUE(std::equal(l.tokens.begin(), l.tokens.begin() + static_cast<std::ptrdiff_t>((i + 1) * page),
                                     other.tokens.begin()));
            }
        live.push_back(std::move(l));
      } else if (what < 8 && !live.empty()) {
        Live& l = live[static_cast<std::size_t>(pick(0, static_cast<int>(live.size()) - 1))];
        m.publish(l.table, l.tokens);
      } else if (!live.empty()) {
        live.erase(live.begin() + pick(0, static_cast<int>(live.size()) - 1));
      }
      std::vector<int> references(24, 0);
      for (const Live& l : live)
        for (const int id : l.table.ids()) ++references[static_cast<std::size_t>(id)];
      for (int id = 0; id < 24; ++id) ASSERT_EQ(m.references(id), references[static_cast<std::size_t>(id)]);
      ASSERT_EQ(m.used(), 24 - std::ranges::count(references, 0));
    }
    EXPECT_GT(hits, 100);
  }
}

}  // namespace
}  // namespace atom::engine
