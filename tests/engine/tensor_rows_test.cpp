#include "../../src/engine/tensor_rows.hpp"

#include <cmath>
#include <cstring>
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

// Three weights of 4, 2 and 2 rows in one tensor, whose rows are 10 r and 10 r + 1.
TEST(TensorRows, TakeTurns) {
  std::vector<float> data;
  for (int r = 0; r < 8; ++r) data.insert(data.end(), {10.0f * static_cast<float>(r), 10.0f * static_cast<float>(r) + 1});
  NamedTensor t;
  t.dtype = DType::f32;
  t.rank = 2;
  t.dims = {8, 2};
  t.data = reinterpret_cast<const std::byte*>(data.data());
  const std::int64_t sizes[] = {4, 2, 2};
  const auto rows = [&](std::size_t i, std::int64_t turns) {
    TensorRows part(t);
    part.take_turns(sizes, i, turns);
    EXPECT_TRUE(part.contiguous());
    std::vector<int> list;
    for (std::int64_t r = 0; r < sizes[i]; ++r) {
      float first = 0;
      std::memcpy(&first, part.at(static_cast<std::size_t>(r)), sizeof first);
      list.push_back(static_cast<int>(first) / 10);
    }
    return list;
  };
  EXPECT_EQ(rows(0, 1), (std::vector{0, 1, 2, 3}));
  EXPECT_EQ(rows(1, 1), (std::vector{4, 5}));
  EXPECT_EQ(rows(2, 1), (std::vector{6, 7}));
  EXPECT_EQ(rows(0, 2), (std::vector{0, 1, 4, 5}));  // two turns: a a b c a a b c
  EXPECT_EQ(rows(1, 2), (std::vector{2, 6}));
  EXPECT_EQ(rows(2, 2), (std::vector{3, 7}));
  TensorRows alone(t);
  alone.take_turns(std::span(sizes).first(1), 0, 2);
  EXPECT_TRUE(alone.dense());
}

TEST(TensorRows, ShapesOfConvolutions) {
  NamedTensor t;
  t.rank = 3;
  t.dims = {6, 1, 4};
  EXPECT_TRUE(has_shape(t, std::vector<std::int64_t>{6, 4}));
  EXPECT_TRUE(has_shape(t, std::vector<std::int64_t>{6, 1, 4}));
  EXPECT_FALSE(has_shape(t, std::vector<std::int64_t>{4, 6}));
  EXPECT_EQ(TensorRows(t).cols, 4);
  t.dims = {6, 2, 4};
  EXPECT_FALSE(has_shape(t, std::vector<std::int64_t>{6, 4}));
  t.rank = 2;
  t.dims = {1, 4};
  EXPECT_FALSE(has_shape(t, std::vector<std::int64_t>{4}));
}

}  // namespace
}  // namespace atom::engine
