#include "../../src/engine/tensor_rows.hpp"

#include <cmath>
#include <gtest/gtest.h>

namespace atom::engine {
namespace {

// The lower half of a byte is the earlier element: 2B 71 are -3, 2, 1 and 12 under a scale of 2.
TEST(TensorRows, UnpacksMxfp4) {
  std::vector<std::byte> blocks(3 * 16), scales{std::byte{0x80}, std::byte{0x7f}, std::byte{0xff}};
  blocks[0] = std::byte{0x2b};
  blocks[1] = std::byte{0x71};
  for (int i = 0; i < 8; ++i) blocks[16 + static_cast<std::size_t>(i)] = static_cast<std::byte>(2 * i | (2 * i + 1) << 4);
  NamedTensor b, s;
  b.dtype = s.dtype = DType::u8;
  b.data = blocks.data();
  s.data = scales.data();
  TensorRows rows(b);
  rows.scales = &s;
  rows.dtype = DType::bf16;
  rows.first = 0;
  rows.row = 1;
  rows.cols = 32;
  std::vector<bf16> to(96);
  rows.read(0, 3, reinterpret_cast<std::byte*>(to.data()));
  const float first[] = {-3, 2, 1, 12}, second[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(static_cast<float>(to[i]), i < 4 ? first[i] : 0.0f) << i;
  for (std::size_t i = 0; i < 16; ++i) EXPECT_EQ(static_cast<float>(to[32 + i]), i < 8 ? second[i] : -second[i - 8]) << i;
  EXPECT_TRUE(std::isnan(static_cast<float>(to[64]))) << "scale 255";
  rows.row = 2;  // every other row
  rows.read(0, 1, reinterpret_cast<std::byte*>(to.data()));
  EXPECT_EQ(static_cast<float>(to[1]), 2.0f);
}

}  // namespace
}  // namespace atom::engine
