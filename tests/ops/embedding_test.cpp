// embed, gather_rows and join_rows on Cpu and Emu, transfer on Emu against Ref: copies and conversions, so every bit counts.
#include <cmath>
#include <gtest/gtest.h>

#include "atom/ops/embedding_cpu.hpp"
#include "atom/ops/embedding_gpu.hpp"
#include "atom/ops/embedding_ref.hpp"

#include "conformance.hpp"
#include "cpu_setting.hpp"
#include "emu_setting.hpp"

namespace atom {
namespace {

using namespace test;

template <class W_, class T_> struct Key {
  using W = W_;
  using T = T_;
};
template <class K> struct Embed : testing::Test {};
using Keys =
    testing::Types<Key<float, float>, Key<bf16, float>, Key<fp16, float>, Key<float, bf16>, Key<bf16, bf16>, Key<fp16, bf16>>;
TYPED_TEST_SUITE(Embed, Keys);

template <class W, class T, class Backend>
std::vector<T> embed(typename Backend::stream stream, const std::vector<W>& table, const std::vector<int>& tokens, int cols,
                     int first, int vocab) {
  std::vector<T> y(tokens.size() * static_cast<std::size_t>(cols), T(7.0f));
  run_on<kernels::embed<W, T>, Backend>(
      stream, {table.data(), tokens.data(), y.data(), static_cast<int>(tokens.size()), cols, first, vocab});
  return y;
}

TYPED_TEST(Embed, EqualsReference) {
  using W = typename TypeParam::W;
  using T = typename TypeParam::T;
  constexpr int first = 20, vocab = 50;
  for (int cols : {1, 8, 15, 16, 17, 100, 1024})
    for (int rows : {0, 1, 40, 100}) {
      auto table = noise<W>(static_cast<std::size_t>(vocab * cols), 1, 3);
      table[0] = W(INFINITY);
      table[1 % table.size()] = W(1e-7f);  // denormal as fp16
      std::vector<int> tokens;
      for (int r = 0; r < rows; ++r) tokens.push_back(r * 13 % 90);  // some of them below, some above this rank's part
      const auto want = embed<W, T, Ref>({}, table, tokens, cols, first, vocab);
      at_every_level([&] {
        for (int threads : {1, 2, 3})
          EXPECT_TRUE(identical(embed<W, T, Cpu>(pool(threads), table, tokens, cols, first, vocab), want)) << rows << " x " << cols;
      });
      on_every_wave([&]<class B>(B, typename B::stream machine) {
        const auto got = embed<W, T, B>(machine, table, tokens, cols, first, vocab);
        EXPECT_TRUE(identical(got, want)) << rows << " x " << cols;
        return got;
      });
    }
}

// Every bit pattern of the 16-bit types converts as atom::bf16 and atom::fp16 say; NaN only has to stay NaN.
TEST(Embed_, EveryHalf) {
  std::vector<fp16> table(65536);
  for (std::size_t i = 0; i < table.size(); ++i) table[i].raw = static_cast<std::uint16_t>(i);
  at_every_level([&] {
    const auto f = embed<fp16, float, Cpu>(pool(1), table, {0}, 65536, 0, 1);
    const auto b = embed<fp16, bf16, Cpu>(pool(1), table, {0}, 65536, 0, 1);
    const auto rounded = embed<float, bf16, Cpu>(pool(1), f, {0}, 65536, 0, 1);
    for (std::size_t i = 0; i < table.size(); ++i) {
      const auto want = static_cast<float>(table[i]);
      if (std::isnan(want)) {
        ASSERT_TRUE(std::isnan(f[i]) && b[i].raw == bf16(NAN).raw && rounded[i].raw == bf16(NAN).raw) << i;
      } else {
        ASSERT_EQ(f[i], want) << i;
        ASSERT_EQ(b[i].raw, bf16(want).raw) << i;
        ASSERT_EQ(rounded[i].raw, bf16(want).raw) << i;
      }
    }
  });
}

template <class T> void check_gather() {
  for (int rows : {0, 1, 3, 60}) {
    const int cols = 1000, ldx = 1007;
    const auto x = noise<T>(60 * 1007, 2);
    std::vector<int> index;
    for (int r = 0; r < rows; ++r) index.push_back(r * 17 % 60);
    const auto on = [&](auto backend, auto stream) {
      std::vector<T> y(static_cast<std::size_t>(rows * cols));
      run_on<kernels::gather_rows<T>, decltype(backend)>(stream, {x.data(), index.data(), y.data(), rows, cols, ldx});
      return y;
    };
    const auto want = on(Ref{}, Ref::stream{});
    EXPECT_TRUE(identical(on(Cpu{}, pool(2)), want));
    on_every_wave([&](auto backend, auto machine) {
      const auto got = on(backend, machine);
      EXPECT_TRUE(identical(got, want));
      return got;
    });
  }
}
TEST(GatherRows, EqualsReference) {
  check_gather<float>();
  check_gather<bf16>();
}

TEST(Transfer, EqualsReference) {
  for (const int n : {0, 1, 6, 1023, 1024, 2055})
    for (const int rows : {0, 1, 6, 1000}) {
      if (rows > n) continue;
      std::vector<int> from, drawn, carried;
      for (int i = 0; i < n; ++i) from.push_back(i);
      for (int r = 0; r < rows; ++r) {
        drawn.push_back(1000 + r);
        carried.push_back(r % 3 == 1 ? -1 : r * 7 % rows);
      }
      for (const int apart : {0, 1, 4}) {  // aligned, and not
        const auto on = [&](auto backend, auto stream) {
          std::vector<int> to(from.size() + 5, -7);
          run_on<kernels::transfer, decltype(backend)>(stream,
                                                       {from.data(), to.data() + apart, n, drawn.data(), carried.data(), rows});
          return to;
        };
        const auto want = on(Ref{}, Ref::stream{});
        EXPECT_TRUE(std::count(want.begin(), want.end(), -7) == 5) << "nothing in front, nothing behind";
        if (rows == 6) {
          EXPECT_EQ(want[static_cast<std::size_t>(apart) + 1], 1) << "a token of the host's";
          EXPECT_EQ(want[static_cast<std::size_t>(apart) + 2], 1002);
        }
        on_every_wave([&](auto backend, auto machine) {
          const auto got = on(backend, machine);
          EXPECT_EQ(got, want);
          return got;
        });
      }
    }
}

template <class T> void check_join() {
  constexpr int cols = 37;
  for (int rows : {0, 1, 500}) {
    const auto n = static_cast<std::size_t>(rows * cols);
    const auto left = noise<T>(n, 1), right = noise<T>(n, 2);
    const auto on = [&](auto backend, auto stream) {
      std::vector<T> y(2 * n);
      run_on<kernels::join_rows<T>, decltype(backend)>(stream, {left.data(), right.data(), y.data(), rows, cols});
      return y;
    };
    const auto want = on(Ref{}, Ref::stream{});
    EXPECT_TRUE(identical(on(Cpu{}, pool(2)), want));
    if (rows > 0) {
      EXPECT_EQ(static_cast<float>(want[n * 2 - 1]), static_cast<float>(right.back()));
      EXPECT_EQ(static_cast<float>(want[cols - 1]), static_cast<float>(left[cols - 1]));
    }
  }
}
TEST(JoinRows, EqualsReference) {
  check_join<float>();
  check_join<bf16>();
}

}  // namespace
}  // namespace atom
