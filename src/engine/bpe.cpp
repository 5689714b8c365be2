#include "bpe.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <optional>
#include <utility>

#include "byte_alphabet.hpp"
#include "utf8.hpp"

namespace atom::engine::text {
namespace {

constexpr std::size_t longest_scan = 64;  // symbols up to which looking at every pair is faster than a heap

std::string byte_token(unsigned byte) {
  constexpr std::string_view hex = "0123456789ABCDEF";
  return {'<', '0', 'x', hex[byte >> 4], hex[byte & 15], '>'};
}

/// The two sides of a merge: ["a", "b"], or in older files "a b".
std::pair<std::string_view, std::string_view> sides(const Json& merge, const Entry& list, std::size_t index) {
  const auto refuse = [&] {
    Entry(merge, list.path() + "[" + std::to_string(index) + "]").refuse("expected two tokens, [\"a\", \"b\"] or \"a b\"");
  };
  if (merge.is_string()) {
    const std::string_view both = merge.as_string({});
    const std::size_t space = both.find(' ');
    if (space == std::string_view::npos || both.find(' ', space + 1) != std::string_view::npos) refuse();
    return {both.substr(0, space), both.substr(space + 1)};
  }
  if (!merge.is_array()) refuse();
  const auto pair = merge.as_array({});
  if (pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string()) refuse();
  return {pair[0].as_string({}), pair[1].as_string({})};
}

}  // namespace

MergeTable::MergeTable(std::size_t merges) : slots_(std::bit_ceil(2 * merges + 2)), shift_(64 - std::countr_zero(slots_.size())) {}

Bpe::Bpe(const Entry& model, const Vocabulary& vocabulary, bool bytes)
    : bytes_(bytes), ignore_merges_(model.flag("ignore_merges", false)), fuse_unk_(model.flag("fuse_unk", false)) {
  if (const auto dropout = model.find("dropout"); dropout && dropout->json().as_number(dropout->path()) != 0) {
    dropout->refuse("random merges are for training; set it to null");
  }
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model.string(affix, "").empty()) model.at(affix).refuse("word affixes are not supported; supported is null");
  }
  if (const auto unk = model.find("unk_token")) {
    unk_ = vocabulary.find(unk->string());
    if (unk_ < 0) unk->refuse(quoted(unk->string()) + " is not in model.vocab");
  }
  fallback_.fill(-1);
  if (model.flag("byte_fallback", false)) {
    for (unsigned b = 0; b < 256; ++b) fallback_[b] = vocabulary.find(byte_token(b));
  }
  byte_symbol_.fill(-1);
  for (unsigned b = 0; b < (bytes ? 256u : 128u); ++b) {
    const auto byte = static_cast<unsigned char>(b);
    byte_symbol_[b] = vocabulary.find(bytes ? byte_letter(byte) : std::string(1, static_cast<char>(byte)));
  }
  if (ignore_merges_) spelling_.reserve(static_cast<std::size_t>(vocabulary.size()));
  for (int id = 0; id < vocabulary.size(); ++id) {
    const std::string& token = vocabulary.token(id);
    if (token.empty()) continue;
    if (const Sequence s = front(token); !bytes && s.scalar >= 0x80 && s.bytes == token.size()) symbol_.emplace(s.scalar, id);
    if (!ignore_merges_) continue;
    if (auto spelling = bytes ? bytes_of_letters(token) : std::optional(token)) {
      spelling_.push_back(std::move(*spelling));
      whole_.emplace(spelling_.back(), id);
    }
  }
  read_merges(model.at("merges"), vocabulary);
}

void Bpe::read_merges(const Entry& list, const Vocabulary& vocabulary) {
  const auto merges = list.json().as_array(list.path());
  merges_ = joints_ = MergeTable(merges.size());
  std::vector<bool> odd(static_cast<std::size_t>(vocabulary.size()));  // stands for a byte or for the unknown
  for (const int id : fallback_) {
    if (id >= 0) odd[static_cast<std::size_t>(id)] = true;
  }
  if (unk_ >= 0) odd[static_cast<std::size_t>(unk_)] = true;
  std::string both;
  for (std::size_t i = 0; i < merges.size(); ++i) {
    if (i == 0 && merges[0].is_string() && merges[0].as_string({}).starts_with("#version")) continue;
    const auto [left, right] = sides(merges[i], list, i);
    const auto known = [&](std::string_view token) {
      const int id = token.empty() ? -1 : vocabulary.find(token);
      if (id < 0) Entry(merges[i], list.path() + "[" + std::to_string(i) + "]").refuse(quoted(token) + " is not in model.vocab");
      return id;
    };
    both.assign(left).append(right);
    const int a = known(left), b = known(right);
    merges_.set(a, b, {static_cast<std::uint32_t>(i), known(both)});
    // The symbols that meet in the middle. (One without a symbol is never met; an odd token is not spelt with its symbols.)
    const int last = symbol(left.substr(last_begin(left))), first = symbol(right.substr(0, front(right).bytes));
    if (last >= 0 && first >= 0) joints_.set(last, first, {.rank = 0});
    separable_ = separable_ && !odd[static_cast<std::size_t>(a)] && !odd[static_cast<std::size_t>(b)];
  }
}

/// The symbol of a character as the vocabulary writes it, or -1.
int Bpe::symbol(std::string_view character) const {
  if (bytes_) {
    const auto byte = bytes_of_letters(character);
    return byte ? byte_symbol_[static_cast<unsigned char>((*byte)[0])] : -1;
  }
  if (character.size() == 1) return byte_symbol_[static_cast<unsigned char>(character[0])];
  const auto found = symbol_.find(front(character).scalar);
  return found == symbol_.end() ? -1 : found->second;
}

void Bpe::encode(std::string_view piece, std::vector<int>& ids, Scratch& scratch) const {
  if (ignore_merges_) {
    if (const auto whole = whole_.find(piece); whole != whole_.end()) return ids.push_back(whole->second);
  }
  // Words repeat: a direct-mapped table of pieces met in this text.
  Scratch::Known* known = nullptr;
  std::array<char, 16> key{};
  if (piece.size() < key.size() && !scratch.known.empty()) {
    std::memcpy(key.data(), piece.data(), piece.size());
    key.back() = static_cast<char>(piece.size());
    const auto [low, high] = std::bit_cast<std::array<std::uint64_t, 2>>(key);
    const std::uint64_t hash = (low ^ std::rotl(high, 23)) * 0x9e3779b97f4a7c15u;
    known = &scratch.known[hash >> (64 - std::countr_zero(known_pieces))];
    if (known->piece == key) {
      ids.insert(ids.end(), known->ids.begin(), known->ids.begin() + known->count);
      return;
    }
  }
  const std::size_t before = ids.size();
  merge(piece, ids, scratch);
  const std::size_t count = ids.size() - before;
  if (known && count <= known->ids.size()) {
    known->piece = key;
    std::copy(ids.end() - static_cast<std::ptrdiff_t>(count), ids.end(), known->ids.begin());
    known->count = static_cast<int>(count);
  }
}

void Bpe::merge(std::string_view piece, std::vector<int>& ids, Scratch& scratch) const {
  scratch.symbols.clear();
  split(piece, scratch.symbols);
  for (std::span<int> rest = scratch.symbols; !rest.empty();) {
    const std::size_t n = rest.size() <= longest_scan ? rest.size() : separable(rest);
    const std::size_t left = n <= longest_scan ? merge_short(rest.first(n)) : merge_long(rest.first(n), scratch);
    ids.insert(ids.end(), rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(left));
    rest = rest.subspan(n);
  }
}

/// How many symbols at the front are merged the same way whatever follows them.
std::size_t Bpe::separable(std::span<const int> symbols) const {
  std::size_t n = 1;
  while (n < symbols.size() && (!separable_ || joints_.find(symbols[n - 1], symbols[n]).rank != Merge::never)) ++n;
  return n;
}

void Bpe::split(std::string_view piece, std::vector<int>& symbols) const {
  bool after_unknown = false;
  while (!piece.empty()) {
    // A character of the vocabulary's own writing: a byte stands for a letter of the byte alphabet.
    const auto byte = static_cast<unsigned char>(piece[0]);
    const Sequence s = bytes_ ? Sequence{Sequence::Kind::character, 1, byte} : front(piece);
    int id = -1;
    if (s.bytes == 1) {
      id = byte_symbol_[byte];
    } else if (const auto found = symbol_.find(s.scalar); found != symbol_.end()) {
      id = found->second;
    }
    if (id >= 0) {
      symbols.push_back(id);
      after_unknown = false;
    } else {
      const std::string character = bytes_ ? byte_letter(byte) : std::string(piece.substr(0, s.bytes));
      const auto fallback = [&](char c) { return fallback_[static_cast<unsigned char>(c)]; };
      if (std::all_of(character.begin(), character.end(), [&](char c) { return fallback(c) >= 0; })) {
        for (const char c : character) symbols.push_back(fallback(c));
        after_unknown = false;
      } else if (unk_ >= 0) {  // without one the character is dropped
        if (!after_unknown || !fuse_unk_) symbols.push_back(unk_);
        after_unknown = true;
      }
    }
    piece.remove_prefix(s.bytes);
  }
}

std::size_t Bpe::merge_short(std::span<int> symbols) const {
  std::array<Merge, longest_scan> merges;  // of symbol i and its right neighbour; the last has none
  std::size_t n = symbols.size();
  for (std::size_t i = 0; i + 1 < n; ++i) merges[i] = merges_.find(symbols[i], symbols[i + 1]);
  while (n > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < n; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == Merge::never) break;
    symbols[best] = merges[best].id;
    --n;
    for (std::size_t i = best + 1; i < n; ++i) {
      symbols[i] = symbols[i + 1];
      merges[i - 1] = merges[i];
    }
    if (best > 0) merges[best - 1] = merges_.find(symbols[best - 1], symbols[best]);
    if (best + 1 < n) merges[best] = merges_.find(symbols[best], symbols[best + 1]);
  }
  return n;
}

std::size_t Bpe::merge_long(std::span<int> symbols, Scratch& scratch) const {
  auto& left = scratch.left;
  auto& right = scratch.right;
  auto& heap = scratch.heap;
  const auto n = static_cast<std::int32_t>(symbols.size());
  const auto index = [](std::int32_t i) { return static_cast<std::size_t>(i); };
  const std::greater<> last;  // a min-heap: the lowest rank, then the leftmost position, is in front
  left.resize(symbols.size());
  right.resize(symbols.size());
  heap.clear();
  const auto candidate = [&](std::int32_t i) {
    const std::uint32_t rank = merges_.find(symbols[index(i)], symbols[index(right[index(i)])]).rank;
    if (rank == Merge::never) return false;
    heap.push_back(std::uint64_t{rank} << 32 | static_cast<std::uint32_t>(i));
    return true;
  };
  for (std::int32_t i = 0; i < n; ++i) {
    left[index(i)] = i - 1;
    right[index(i)] = i + 1;
    if (i + 1 < n) candidate(i);
  }
  std::make_heap(heap.begin(), heap.end(), last);
  constexpr int gone = -1;
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), last);
    const auto rank = static_cast<std::uint32_t>(heap.back() >> 32);
    const auto i = static_cast<std::int32_t>(heap.back() & 0xffffffffu);
    heap.pop_back();
    const std::int32_t j = right[index(i)];
    if (symbols[index(i)] == gone || j == n) continue;
    const Merge merge = merges_.find(symbols[index(i)], symbols[index(j)]);
    if (merge.rank != rank) continue;  // the pair has changed since it was put here
    symbols[index(i)] = merge.id;
    symbols[index(j)] = gone;
    right[index(i)] = right[index(j)];
    if (right[index(i)] < n) {
      left[index(right[index(i)])] = i;
      if (candidate(i)) std::push_heap(heap.begin(), heap.end(), last);
    }
    if (left[index(i)] >= 0 && candidate(left[index(i)])) std::push_heap(heap.begin(), heap.end(), last);
  }
  return static_cast<std::size_t>(std::remove(symbols.begin(), symbols.end(), gone) - symbols.begin());
}

}  // namespace atom::engine::text
