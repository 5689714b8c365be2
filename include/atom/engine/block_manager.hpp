#pragma once
// BlockManager: who holds which page of the cache, and which pages hold a prefix that somebody may want again.
// One idea: a page's number lives only inside BlockTables, which cannot be copied and give their pages back when they end; so a
// page cannot be freed twice, and one that is kept is kept by a table one can point at.
//   vacant: nothing in it      used: in one table or more      cached: in none, but named; evicted only when it is needed,
//                                                              least recently released first
// A name is a chained hash of the tokens up to the page's end. It is a hint, never proof: a hit counts only if the page's tokens
// are equal and the page before it is the same page. Names are given after the forward pass that filled the page (publish).
// Where a page holds more than keys and values of its own tokens, the name covers what else that was made of (ahead).
// To extend: another eviction order is a change to release() and take() alone.
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "atom/ops/kv_layout.hpp"

namespace atom::engine {

inline constexpr int blocks_for(int tokens) { return (tokens + kernels::page_tokens - 1) / kernels::page_tokens; }

struct PrefixHash {
  std::uint64_t low = 0, high = 0;
  bool operator==(const PrefixHash&) const = default;
};

class BlockManager;

/// The pages of one sequence, in order. Move-only; gives them back at its end. Must not outlive its manager.
class BlockTable {
 public:
  BlockTable() = default;
  BlockTable(BlockTable&& other) noexcept { swap(other); }
  BlockTable& operator=(BlockTable&& other) noexcept {
    BlockTable(std::move(other)).swap(*this);
    return *this;
  }
  ~BlockTable();

  /// Room for so many pages: what the manager needs in order not to allocate.
  void reserve(int blocks) { ids_.reserve(static_cast<std::size_t>(blocks)); }
  [[nodiscard]] std::span<const int> ids() const noexcept { return ids_; }
  [[nodiscard]] int size() const noexcept { return static_cast<int>(ids_.size()); }
  [[nodiscard]] bool empty() const noexcept { return ids_.empty(); }

 private:
  friend class BlockManager;
  /// A prefix of whole pages: its hash, and the serial number of its last page's content; the empty prefix has its salt instead.
  struct Prefix {
    PrefixHash hash;
    std::uint64_t serial = 0;
    bool empty = true;
  };
  void swap(BlockTable& other) noexcept {
    std::swap(owner_, other.owner_);
    std::swap(ids_, other.ids_);
    std::swap(published_, other.published_);
    std::swap(prefix_, other.prefix_);
  }

  BlockManager* owner_ = nullptr;
  std::vector<int> ids_;
  int published_ = 0;  // leading pages that were offered to the prefix cache, or came from it
  Prefix prefix_;      // of those
};

/// Not for several threads at once. Everything after construction is noexcept and allocates nothing.
class BlockManager {
 public:
  static constexpr int most_ahead = 1;
  /// hash(parent, tokens of one page and those ahead, seed). Tests bring worse ones.
  using Hash = PrefixHash (*)(const PrefixHash& parent, std::span<const int> tokens, std::uint64_t seed) noexcept;
  /// blocks >= 1. seed: make it random, so that nobody can prepare prompts that collide. hash: null for XXH3. ahead: so many
  /// tokens behind a page have a part in what it holds, so that only texts which agree there too share it.
  explicit BlockManager(int blocks, std::uint64_t seed = 0, Hash hash = nullptr, int ahead = 0);
  ~BlockManager();
  BlockManager(const BlockManager&) = delete;
  BlockManager& operator=(const BlockManager&) = delete;

  /// Fills an empty table with pages for `tokens`, of which the longest known prefix may come from the cache: whole pages, and
  /// never the last token, whose logits somebody wants. salt: only pages published under the same salt are found; nothing: do
  /// not look. Returns the pages found, or -1 with the table still empty if that would leave fewer than `keep_free` pages.
  int allocate(BlockTable& table, std::span<const int> tokens, std::optional<std::uint64_t> salt, int keep_free = 0) noexcept;
  /// Adds pages until the table holds `tokens`. False, and nothing changed, when there are not enough.
  bool grow(BlockTable& table, int tokens) noexcept;
  /// Names the pages that `tokens` fill, which are all computed by now, but for those ahead. To be called only for tables
  /// allocated with a salt.
  void publish(BlockTable& table, std::span<const int> tokens) noexcept;
  /// Gives all pages back. The last ones are evicted first: a prefix is worth nothing without its beginning.
  void release(BlockTable& table) noexcept;
  /// Forgets all names.
  void clear_cache() noexcept;

  [[nodiscard]] int ahead() const noexcept { return ahead_; }
  [[nodiscard]] int total() const noexcept { return static_cast<int>(blocks_.size()); }
  [[nodiscard]] int vacant() const noexcept { return static_cast<int>(vacant_.size()); }
  [[nodiscard]] int cached() const noexcept { return cached_; }
  [[nodiscard]] int free() const noexcept { return vacant() + cached(); }
  [[nodiscard]] int used() const noexcept { return total() - free(); }
  [[nodiscard]] int references(int block) const noexcept { return at(block).references; }

 private:
  using Prefix = BlockTable::Prefix;
  static constexpr int none = -1, page = kernels::page_tokens;
  struct Block {
    int references = 0;
    int older = none, newer = none;  // neighbours among the cached
    bool first = false;              // of its prefix
    std::uint64_t serial = 0;        // of the content; 0: no name
    std::uint64_t parent = 0;        // serial of the page before it; of a first page the salt
    PrefixHash hash;
    int tokens[page + most_ahead] = {};
  };
  Block& at(int id) noexcept { return blocks_[static_cast<std::size_t>(id)]; }
  [[nodiscard]] const Block& at(int id) const noexcept { return blocks_[static_cast<std::size_t>(id)]; }

  /// A page of `text`, and the tokens ahead of it.
  [[nodiscard]] std::span<const int> named(std::span<const int> text, int index) const noexcept {
    return text.subspan(static_cast<std::size_t>(index * page), static_cast<std::size_t>(page + ahead_));
  }
  [[nodiscard]] bool holds(int id, const Prefix& parent, std::span<const int> tokens) const noexcept;
  int take() noexcept;
  void claim(int id) noexcept;
  void drop_name(int id) noexcept;
  void link_newest(int id) noexcept;
  void unlink(int id) noexcept;

  // Names: an open-addressing table of block ids, at most half full, probed linearly.
  [[nodiscard]] std::size_t home(const PrefixHash& hash) const noexcept { return hash.low & (names_.size() - 1); }
  [[nodiscard]] int find(const PrefixHash& hash) const noexcept;
  void insert(int id) noexcept;
  void erase(int id) noexcept;

  std::vector<Block> blocks_;
  std::vector<int> vacant_;  // a stack
  std::vector<int> names_;   // (a power of two)
  int cached_ = 0, oldest_ = none, newest_ = none;
  std::uint64_t serials_ = 0, seed_;
  Hash hash_;
  int ahead_;
};

inline BlockTable::~BlockTable() {
  if (owner_) owner_->release(*this);
}

}  // namespace atom::engine
