#pragma once
// KvLayout: where the keys and values of a token lie in the paged cache.
// One idea: addressing is a constexpr map shared by the kernels, the memory planner and the tests; a page holds `page` tokens
// of one layer, head by head, so that one head's keys of a page are contiguous.
// To extend: another cache (latent, quantised) is another layout type with the same members.
#include <cstddef>

namespace atom::kernels {

inline constexpr int page_tokens = 16;  ///< tokens per page: a constant of every kernel key

/// K and V pages of one layer, each (pages, kv_heads, page_tokens, D) of Kv.
template <class Kv, int D> struct KvLayout {
  static constexpr int page = page_tokens;
  /// Element offset of (page index, head, token within the page) in K and in V.
  static constexpr std::size_t at(int page_index, int head, int token, int kv_heads) {
    return ((static_cast<std::size_t>(page_index) * static_cast<std::size_t>(kv_heads) + static_cast<std::size_t>(head)) * page +
            static_cast<std::size_t>(token)) *
           D;
  }
  /// Elements of K (or of V) in `pages` pages of one layer.
  static constexpr std::size_t elements(std::size_t pages, int kv_heads) {
    return pages * static_cast<std::size_t>(kv_heads) * page * D;
  }
  static constexpr std::size_t bytes_per_token(int kv_heads) { return 2 * sizeof(Kv) * D * static_cast<std::size_t>(kv_heads); }
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
