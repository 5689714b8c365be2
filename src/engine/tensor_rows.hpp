#pragma once
// TensorRows: the rows of a matrix (or a vector, one element each) where a checkpoint has them.
// One idea: a tensor of its own, a slice of a tensor of all experts, its transpose, every other row of it, rows that take turns
// with those of other weights, blocks of four bits: all are an offset and strides, so the loader copies rows and does not ask
// which. To extend: another form is a member, and its case in read().
#include <cstddef>
#include <optional>
#include <span>

#include "atom/engine/safetensors.hpp"
#include "atom/model/reflect.hpp"

namespace atom::engine {

struct TensorRows {
  const NamedTensor* tensor = nullptr;
  const NamedTensor* scales = nullptr;  // of blocks: `tensor` holds (rows, cols / 32, 16) bytes, this (rows, cols / 32)
  DType dtype = DType::other;           // of what read() gives
  std::size_t first = 0;                // element (blocks: row) where row 0 begins
  std::size_t row = 1, col = 1;         // elements (blocks: rows) from a row to the next, from a column to the next
  std::size_t turn = 0, period = 0;     // so many rows lie together, the next ones `period` rows behind them; 0: all do
  int cols = 1;

  TensorRows() = default;
  explicit TensorRows(const NamedTensor& t) : tensor(&t), dtype(t.dtype) {
    for (int d = 1; d < t.rank; ++d) row *= static_cast<std::size_t>(t.dims[static_cast<std::size_t>(d)]);
    cols = static_cast<int>(row);
  }
  /// Makes the rows of a whole tensor those of weight `i` of several that share it, in so many turns, a turn's share of each in
  /// every one. sizes: rows of each.
  void take_turns(std::span<const std::int64_t> sizes, std::size_t i, std::int64_t turns);

  /// Row r is `cols` elements that lie side by side, and row r + 1 follows.
  [[nodiscard]] bool dense() const { return contiguous() && turn == 0 && row == static_cast<std::size_t>(cols); }
  [[nodiscard]] bool contiguous() const { return !scales && col == 1; }
  [[nodiscard]] const std::byte* at(std::size_t r) const {
    return tensor->data + place(r) * static_cast<std::size_t>(size_of(dtype));
  }
  /// The element (blocks: row) where row r begins.
  [[nodiscard]] std::size_t place(std::size_t r) const { return first + (turn ? r / turn * period + r % turn : r) * row; }
  /// Rows [begin, begin + count) that are not contiguous, to (count, cols) elements.
  void read(std::size_t begin, std::size_t count, std::byte* to) const;
};

/// Whether a tensor has this shape; that of a depthwise convolution has a 1 in the middle.
bool has_shape(const NamedTensor& t, std::span<const std::int64_t> shape);

/// The tensor of all experts that a parameter of one expert may be part of: "a.experts.3.up.weight" -> "a.experts.up",
/// "a.experts.3.up.bias" -> "a.experts.up_bias".
std::string all_experts(const model::ParamRef& ref);

/// What the two forms of a weight of all experts ask for: (experts, rows, cols) or (experts, cols, rows).
struct ExpertShape {
  std::int64_t experts, rows, cols;
  [[nodiscard]] bool upright(const NamedTensor& t) const { return is(t, rows, cols); }
  [[nodiscard]] bool transposed(const NamedTensor& t) const { return is(t, cols, rows); }

 private:
  [[nodiscard]] bool is(const NamedTensor& t, std::int64_t a, std::int64_t b) const {
    return t.rank == 3 && t.dims[0] == experts && t.dims[1] == a && t.dims[2] == b;
  }
};
/// As checkpoints hold them for a table's experts; nothing where each has tensors of its own. A square weight does not tell which
/// form it has, but then the other weight of the same experts is not square.
std::optional<bool> experts_transposed(const Checkpoint& checkpoint, const model::ModelSpec& whole, const model::ParamTable& table);

}  // namespace atom::engine
