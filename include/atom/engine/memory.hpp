#pragma once
// Block: zeroed, page-aligned memory in huge pages where the system grants them. The arenas of weights, cache and scratch.
#include <cstddef>
#include <utility>

namespace atom::engine {

class Block {
 public:
  Block() = default;
  /// Throws atom::Error naming `what` when the system refuses.
  Block(std::size_t bytes, const char* what);
  /// What a block of so many bytes takes: whole huge pages.
  static constexpr std::size_t rounded(std::size_t bytes) { return (bytes + huge - 1) / huge * huge; }
  ~Block();
  Block(Block&& o) noexcept : data_(std::exchange(o.data_, nullptr)), bytes_(std::exchange(o.bytes_, 0)) {}
  Block& operator=(Block&& o) noexcept {
    std::swap(data_, o.data_);
    std::swap(bytes_, o.bytes_);
    return *this;
  }
  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  static constexpr std::size_t huge = std::size_t{2} << 20;
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace atom::engine
