#pragma once
// SafeTensors: one .safetensors file, mapped into memory. Checkpoint: a directory of them.
// One idea: every number of a header is checked once, when the file is opened; afterwards a tensor is a name, a type, a shape
// and a range of bytes that is known to exist and to belong to it alone.
// To extend: a new element type is a DType (core/dtype.hpp); until it has one its tensors are `other`, with the file's spelling.
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "atom/core/dtype.hpp"

namespace atom::engine {

/// A tensor in a file, or to be written to one. Row-major. `data` need not be aligned for its element type: files pack
/// tensors without padding, so copy (or load unaligned) rather than cast the pointer.
struct NamedTensor {
  static constexpr int max_rank = 8;

  std::string name;
  DType dtype = DType::other;
  std::string dtype_name;  // as files spell it ("F8_E4M3"); when writing, needed only with DType::other
  int rank = 0;            // 0: a scalar
  std::array<std::int64_t, max_rank> dims{};
  const std::byte* data = nullptr;  // (bytes)
  std::size_t bytes = 0;

  [[nodiscard]] std::span<const std::int64_t> shape() const { return {dims.data(), static_cast<std::size_t>(rank)}; }
};

/// One file. Opening maps it read-only and checks its header; bytes are read from disk as they are touched.
/// As with every mapped file, shortening it while it is open ends the program at the next touch.
class SafeTensors {
 public:
  /// Throws atom::Error naming the file and the tensor: header length 0, above 100 MiB or past the end of the file; header not
  /// JSON or over the limits; names twice; ranges reversed, out of the file, overlapping or leaving gaps; sizes that are not
  /// product(shape) * element size.
  explicit SafeTensors(const std::string& path);
  ~SafeTensors();
  SafeTensors(SafeTensors&& other) noexcept { *this = std::move(other); }
  SafeTensors& operator=(SafeTensors&& other) noexcept;

  [[nodiscard]] const std::string& path() const { return path_; }
  /// In the order of their bytes in the file. Names and data live as long as this object.
  [[nodiscard]] std::span<const NamedTensor> tensors() const { return tensors_; }

 private:
  SafeTensors() = default;

  std::string path_;
  std::span<const std::byte> mapped_;
  std::vector<NamedTensor> tensors_;
};

/// The weights of a model directory: model.safetensors, or the shards that model.safetensors.index.json names.
class Checkpoint {
 public:
  /// Throws atom::Error: no weights there; a shard that is broken; or, all in one message, shards that are absent, tensors
  /// that their shard lacks and tensors that the index does not name.
  explicit Checkpoint(const std::string& directory);

  /// Sorted by name.
  [[nodiscard]] std::span<const NamedTensor* const> tensors() const { return tensors_; }
  /// nullptr when absent.
  [[nodiscard]] const NamedTensor* find(std::string_view name) const;
  /// Path of the file that holds a tensor, for messages; empty when absent.
  [[nodiscard]] std::string_view file_of(std::string_view name) const;

 private:
  void open_shards(const std::string& directory, const std::string& index_path);

  std::vector<SafeTensors> files_;
  std::vector<const NamedTensor*> tensors_;
};

/// Writes a file that SafeTensors accepts: larger elements first, so that every tensor is aligned to its element, otherwise in
/// the order given. The file appears complete or not at all. Throws atom::Error when the disk or the tensors forbid it.
void write_safetensors(const std::string& path, std::span<const NamedTensor> tensors);

}  // namespace atom::engine
