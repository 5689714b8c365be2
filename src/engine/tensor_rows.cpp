#include "tensor_rows.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

namespace atom::engine {

namespace {

template <class Bits> void gather(const TensorRows& rows, std::size_t begin, std::size_t count, std::byte* to) {
  const auto cols = static_cast<std::size_t>(rows.cols);
  for (std::size_t c = 0; c < cols; ++c) {  // rows inside: they are neighbours in the file
    for (std::size_t r = 0; r < count; ++r)
      std::memcpy(to + (r * cols + c) * sizeof(Bits), rows.at(begin + r) + c * rows.col * sizeof(Bits), sizeof(Bits));
  }
}

// OCP MX: 32 elements e2m1, two to a byte, the lower half first, times 2^(scale - 127). Exact in bf16; scale 255 is NaN.
void unpack_mxfp4(const std::byte* blocks, const std::byte* scales, int groups, bf16* to) {
  static constexpr float e2m1[16] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0.0f, -0.5f, -1, -1.5f, -2, -3, -4, -6};
  for (int g = 0; g < groups; ++g) {
    const int exponent = static_cast<int>(scales[g]) - 127;
    const float scale = exponent == 128 ? NAN : std::ldexp(1.0f, exponent);
    for (int i = 0; i < 16; ++i) {
      const auto pair = static_cast<unsigned>(blocks[g * 16 + i]);
      *to++ = bf16(e2m1[pair & 15] * scale);
      *to++ = bf16(e2m1[pair >> 4] * scale);
    }
  }
}

std::int64_t row_count(const model::ModelSpec& whole, const model::ParamRef& ref) {
  std::int64_t n = 0;
  for (const model::Axis a : ref.rows.parts)
    if (a != model::Axis::none) n += model::size(whole, a);
  return n;
}

}  // namespace

void TensorRows::take_turns(std::span<const std::int64_t> sizes, std::size_t i, std::int64_t turns) {
  const auto of_turn = [&](std::size_t begin, std::size_t end) {
    return static_cast<std::size_t>(std::accumulate(sizes.begin() + static_cast<std::ptrdiff_t>(begin),
                                                    sizes.begin() + static_cast<std::ptrdiff_t>(end), std::int64_t{0}) /
                                    turns);
  };
  if (sizes.size() == 1) return;
  first += of_turn(0, i) * row;
  if (turns == 1) return;
  turn = of_turn(i, i + 1);
  period = of_turn(0, sizes.size());
  if (turn > 1) return;
  row *= period;  // every so many rows: a stride
  turn = period = 0;
}

bool has_shape(const NamedTensor& t, std::span<const std::int64_t> shape) {
  const auto dims = t.shape();
  if (dims.size() == 3 && dims[1] == 1 && shape.size() == 2) return dims[0] == shape[0] && dims[2] == shape[1];
  return std::ranges::equal(dims, shape);
}

void TensorRows::read(std::size_t begin, std::size_t count, std::byte* to) const {
  if (!scales) {
    const auto size = size_of(dtype);
    return size == 4   ? gather<std::uint32_t>(*this, begin, count, to)
           : size == 2 ? gather<std::uint16_t>(*this, begin, count, to)
                       : gather<std::uint8_t>(*this, begin, count, to);
  }
  const auto groups = static_cast<std::size_t>(cols) / 32;
  for (std::size_t r = 0; r < count; ++r) {
    const std::size_t at = place(begin + r);
    unpack_mxfp4(tensor->data + at * groups * 16, scales->data + at * groups, static_cast<int>(groups),
                 reinterpret_cast<bf16*>(to) + r * static_cast<std::size_t>(cols));
  }
}

std::string all_experts(const model::ParamRef& ref) {
  const std::string expert = "." + std::to_string(ref.expert) + ".";
  const auto leaf = ref.name.rfind('.'), at = ref.name.rfind(expert, leaf);
  const bool weight = ref.name.compare(leaf, std::string::npos, ".weight") == 0;
  return ref.name.substr(0, at + 1) + ref.name.substr(at + expert.size(), leaf - at - expert.size()) +
         (weight ? "" : "_" + ref.name.substr(leaf + 1));
}

std::optional<bool> experts_transposed(const Checkpoint& checkpoint, const model::ModelSpec& whole,
                                       const model::ParamTable& table) {
  std::optional<bool> found;
  for (const model::ParamRef& ref : table) {
    if (ref.expert != 0 || ref.cols.parts[0] == model::Axis::none) continue;
    const NamedTensor* t = checkpoint.find(all_experts(ref));
    if (!t) continue;
    const ExpertShape shape{whole.moe.experts, row_count(whole, ref), model::size(whole, ref.cols.parts[0])};
    if (!found) found = false;
    if (shape.upright(*t) != shape.transposed(*t)) return shape.transposed(*t);
  }
  return found;
}

}  // namespace atom::engine
