#pragma once
// KvLayout: where the keys and values of a token lie in the paged cache.
// One idea: addressing is a constexpr map shared by the kernels, the memory planner and the tests; a page holds `page` tokens
// of one layer, head by head, so that one head's keys of a page are contiguous. Scales of a quantised cache lie in the page they
// belong to: whoever copies, shares or frees pages need not know of them.
// To extend: another element is a CacheRow; another cache (latent) is another layout type with the same members.
#include <cstddef>
#include <type_traits>

#include "atom/core/name.hpp"
#include "atom/quant/scheme.hpp"

namespace atom::kernels {

inline constexpr int page_tokens = 16;  ///< tokens per page: a constant of every kernel key

/// What a cache of Kv is made of: numbers as they are ...
template <class Kv> struct CacheRow {
  using element = Kv;
  static constexpr int scale = 0;  ///< elements that a row's scale takes the place of
  static constexpr Name name() { return {type_name<Kv>}; }
};
/// ... or codes, with a float per token and head that they are multiplied by.
template <class T> struct CacheRow<quant::PerToken<T>> {
  using element = T;
  static constexpr int scale = static_cast<int>(sizeof(float) / sizeof(T));
  static constexpr Name name() { return quant::PerToken<T>::name(); }
};
template <class Kv> using cache_element = typename CacheRow<Kv>::element;
template <class Kv> inline constexpr bool has_scales = CacheRow<Kv>::scale > 0;

/// K and V pages of one layer, each (pages, kv_heads) of: (page_tokens, D) elements, then (page_tokens) scales if there are any.
template <class Kv, int D> struct KvLayout {
  using element = cache_element<Kv>;
  static constexpr int page = page_tokens, row = D + CacheRow<Kv>::scale;  // elements of a token, its scale included
  /// Element offset of (page index, head, token within the page) in K and in V.
  static constexpr std::size_t at(int page_index, int head, int token, int kv_heads) {
    return first(page_index, head, kv_heads) + static_cast<std::size_t>(token) * D;
  }
  /// The same of the row's scale.
  static constexpr std::size_t scale_at(int page_index, int head, int token, int kv_heads) {
    return first(page_index, head, kv_heads) + page * D + static_cast<std::size_t>(token) * CacheRow<Kv>::scale;
  }
  /// The scale of that row of `pages`.
  template <class E> static auto* scale(E* pages, int page_index, int head, int token, int kv_heads) {
    static_assert(has_scales<Kv>, "atom: only a cache of a quantised type has scales");
    using Scale = std::conditional_t<std::is_const_v<E>, const float, float>;
    return reinterpret_cast<Scale*>(pages + scale_at(page_index, head, token, kv_heads));
  }
  /// Elements of K (or of V) in `pages` pages of one layer.
  static constexpr std::size_t elements(std::size_t pages, int kv_heads) {
    return pages * static_cast<std::size_t>(kv_heads) * page * row;
  }
  static constexpr std::size_t bytes_per_row() { return sizeof(element) * row; }  ///< of K or of V
  static constexpr std::size_t bytes_per_token(int kv_heads) { return 2 * bytes_per_row() * static_cast<std::size_t>(kv_heads); }

 private:
  static constexpr std::size_t first(int page_index, int head, int kv_heads) {
    return (static_cast<std::size_t>(page_index) * static_cast<std::size_t>(kv_heads) + static_cast<std::size_t>(head)) * page *
           row;
  }
};

/// Pages of one layer of a latent cache, (pages, page_tokens, D) of Kv: a token has one row, which all heads read.
template <class Kv, int D> struct LatentLayout {
  static constexpr int page = page_tokens;
  /// Element offset of a slot: page index * page + token within the page.
  static constexpr std::size_t at(int slot) { return static_cast<std::size_t>(slot) * D; }
  static constexpr std::size_t elements(std::size_t pages) { return pages * page * D; }
  static constexpr std::size_t bytes_per_token() { return sizeof(Kv) * D; }
};

}  // namespace atom::kernels
