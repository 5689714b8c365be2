#include "atom/engine/block_manager.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "atom/core/error.hpp"

namespace atom::engine {

namespace {

PrefixHash xxh3(const PrefixHash& parent, std::span<const int> tokens, std::uint64_t seed) noexcept {
  struct {
    PrefixHash parent;
    int tokens[kernels::page_tokens + BlockManager::most_ahead];
  } text{parent, {}};
  std::memcpy(text.tokens, tokens.data(), tokens.size_bytes());
  const XXH128_hash_t h = XXH3_128bits_withSeed(&text, sizeof parent + tokens.size_bytes(), seed);
  return {h.low64, h.high64};
}

}  // namespace

BlockManager::BlockManager(int blocks, std::uint64_t seed, Hash hash, int ahead)
    : seed_(seed), hash_(hash ? hash : xxh3), ahead_(ahead) {
  ATOM_ASSERT(ahead >= 0 && ahead <= most_ahead, "a page remembers one token behind it");
  if (blocks < 1) throw Error("KV cache: " + std::to_string(blocks) + " blocks; at least one is needed: make the cache larger");
  const auto n = static_cast<std::size_t>(blocks);
  blocks_.resize(n);
  names_.assign(std::bit_ceil(2 * n), none);
  vacant_.resize(n);
  for (std::size_t i = 0; i < n; ++i) vacant_[i] = blocks - 1 - static_cast<int>(i);  // page 0 is taken first
}

BlockManager::~BlockManager() { ATOM_ASSERT(used() == 0, "a BlockTable outlives its BlockManager"); }

bool BlockManager::holds(int id, const Prefix& parent, std::span<const int> tokens) const noexcept {
  const Block& b = at(id);
  return b.parent == parent.serial && b.first == parent.empty &&
         std::ranges::equal(tokens, std::span(b.tokens).first(tokens.size()));
}

int BlockManager::allocate(BlockTable& table, std::span<const int> tokens, std::optional<std::uint64_t> salt,
                           int keep_free) noexcept {
  ATOM_ASSERT(table.empty(), "allocate() fills an empty table");
  const int length = static_cast<int>(tokens.size()), need = blocks_for(length);
  ATOM_ASSERT(table.ids_.capacity() >= static_cast<std::size_t>(need), "reserve() the table before the step");
  table.owner_ = this;
  table.prefix_ = {{salt.value_or(0), 0}, salt.value_or(0), true};
  int idle = 0;  // found, and free: they leave the free ones too
  if (salt)
    for (int i = 0; i < (length - 1) / page; ++i) {
      const auto text = named(tokens, i);
      const PrefixHash hash = hash_(table.prefix_.hash, text, seed_);
      const int id = find(hash);
      if (id == none || !holds(id, table.prefix_, text)) break;
      table.ids_.push_back(id);
      table.prefix_ = {hash, at(id).serial, false};
      idle += at(id).references == 0;
    }
  const int found = table.size();
  if (need - found + idle + keep_free > free()) {
    table.ids_.clear();
    return none;
  }
  for (const int id : table.ids_) claim(id);  // before any is evicted
  for (int i = found; i < need; ++i) table.ids_.push_back(take());
  table.published_ = found;
  return found;
}

bool BlockManager::grow(BlockTable& table, int tokens) noexcept {
  const int more = blocks_for(tokens) - table.size();
  if (more > free()) return false;
  ATOM_ASSERT(table.owner_ == this, "a table grows after allocate()");
  ATOM_ASSERT(table.ids_.capacity() >= table.ids_.size() + static_cast<std::size_t>(std::max(0, more)), "reserve() the table");
  for (int i = 0; i < more; ++i) table.ids_.push_back(take());
  return true;
}

void BlockManager::publish(BlockTable& table, std::span<const int> tokens) noexcept {
  const int full = (static_cast<int>(tokens.size()) - ahead_) / page;
  ATOM_ASSERT(full <= table.size(), "tokens without a page");
  for (; table.published_ < full; ++table.published_) {
    const auto text = named(tokens, table.published_);
    const int id = table.ids_[static_cast<std::size_t>(table.published_)];
    const PrefixHash hash = hash_(table.prefix_.hash, text, seed_);
    const int other = find(hash);
    if (other != none && holds(other, table.prefix_, text)) {  // another sequence was first; this copy stays nameless
      table.prefix_ = {hash, at(other).serial, false};
      continue;
    }
    if (other != none) drop_name(other);  // a collision, or the rest of a prefix whose beginning is gone: the newer one stays
    Block& b = at(id);
    b.serial = ++serials_;
    b.parent = table.prefix_.serial;
    b.first = table.prefix_.empty;
    b.hash = hash;
    std::ranges::copy(text, b.tokens);
    insert(id);
    table.prefix_ = {hash, b.serial, false};
  }
}

void BlockManager::release(BlockTable& table) noexcept {
  ATOM_ASSERT(table.empty() || table.owner_ == this, "a table of another manager");
  for (auto id = table.ids_.rbegin(); id != table.ids_.rend(); ++id) {
    Block& b = at(*id);
    ATOM_ASSERT(b.references > 0, "a page is freed twice");
    if (--b.references > 0) continue;
    if (b.serial)
      link_newest(*id);
    else
      vacant_.push_back(*id);
  }
  table.ids_.clear();
  table.published_ = 0;
}

void BlockManager::clear_cache() noexcept {
  for (int id = 0; id < total(); ++id)
    if (at(id).serial) drop_name(id);
}

int BlockManager::take() noexcept {
  if (vacant_.empty()) drop_name(oldest_);  // which makes it vacant
  const int id = vacant_.back();
  vacant_.pop_back();
  at(id).references = 1;
  return id;
}

void BlockManager::claim(int id) noexcept {
  if (at(id).references++ == 0) unlink(id);
}

void BlockManager::drop_name(int id) noexcept {
  erase(id);
  at(id).serial = 0;
  if (at(id).references > 0) return;
  unlink(id);
  vacant_.push_back(id);
}

void BlockManager::link_newest(int id) noexcept {
  at(id).older = newest_;
  at(id).newer = none;
  (newest_ == none ? oldest_ : at(newest_).newer) = id;
  newest_ = id;
  ++cached_;
}

void BlockManager::unlink(int id) noexcept {
  const Block& b = at(id);
  (b.older == none ? oldest_ : at(b.older).newer) = b.newer;
  (b.newer == none ? newest_ : at(b.newer).older) = b.older;
  --cached_;
}

int BlockManager::find(const PrefixHash& hash) const noexcept {
  for (std::size_t i = home(hash);; i = (i + 1) & (names_.size() - 1)) {
    const int id = names_[i];
    if (id == none || at(id).hash == hash) return id;
  }
}

void BlockManager::insert(int id) noexcept {
  std::size_t i = home(at(id).hash);
  while (names_[i] != none) i = (i + 1) & (names_.size() - 1);
  names_[i] = id;
}

void BlockManager::erase(int id) noexcept {
  const std::size_t mask = names_.size() - 1;
  std::size_t hole = home(at(id).hash);
  while (names_[hole] != id) hole = (hole + 1) & mask;
  // What was pushed past the hole moves back into it, so that no probe stops early.
  for (std::size_t i = (hole + 1) & mask; names_[i] != none; i = (i + 1) & mask)
    if (((i - home(at(names_[i]).hash)) & mask) >= ((i - hole) & mask)) {
      names_[hole] = names_[i];
      hole = i;
    }
  names_[hole] = none;
}

}  // namespace atom::engine
