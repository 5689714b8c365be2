// The emulator does what a GPU does: shuffles, ballots, barriers, copies, atomics, and the matrix unit through its maps.
#include <array>
#include <gtest/gtest.h>
#include <numeric>
#include <random>
#include <vector>

#include "atom/gpu/async.hpp"
#include "atom/gpu/bulk.hpp"
#include "atom/gpu/warpgroup.hpp"

namespace atom {
namespace {

template <class K, int W, class Args> void run(gpu::Grid grid, const Args& a) {
  for (unsigned schedule : {0u, 1u, 2u}) {
    gpu::emu::Machine machine(schedule);
    gpu::launch<K, Emu<W>>(&machine, grid, a);
    ASSERT_EQ(machine.fault(), "");
  }
}

template <class W> struct Machines : testing::Test {};
template <int W> struct Wave { static constexpr int lanes = W; };
using Waves = testing::Types<Wave<32>, Wave<64>>;
TYPED_TEST_SUITE(Machines, Waves);

struct Collectives {
  static constexpr int threads(int) { return 192; }
  struct Shared {
    gpu::array<float, 8> partial;
    gpu::array<int, 1> count;
    gpu::array<int, 192> turned;
  };
  struct Args {
    int* out;  // (blocks, 192, 5)
    int* total;
    std::uint64_t* most;
  };
  template <class Cta> void operator()(Cta& cta, const Args& a) const {
    auto& s = cta.template shared<Shared>();
    int* out = a.out + (cta.block_x() * 192 + cta.thread()) * 5;
    out[0] = cta.shfl(cta.thread(), (cta.lane() + 1) % Cta::wave);
    out[1] = static_cast<int>(cta.ballot(cta.lane() % 3 == 0) >> (Cta::wave - 8));
    out[2] = static_cast<int>(gpu::block_sum(cta, static_cast<float>(cta.thread()), s.partial));
    if (cta.thread() == 0) s.count.set(0, 100);
    s.turned.set(191 - cta.thread(), cta.thread());
    cta.sync();
    s.count.atomic_add(cta, 0, 1);
    cta.sync();
    out[3] = s.count.get(0);
    out[4] = s.turned.get(cta.thread());
    cta.atomic_add(a.total, 1);
    cta.atomic_max(a.most, (std::uint64_t{7} << 32) + static_cast<std::uint64_t>(out[3] - std::abs(cta.thread() - 100)));
  }
};

TYPED_TEST(Machines, CollectivesBarriersAndAtomics) {
  constexpr int W = TypeParam::lanes;
  std::vector<int> out(3 * 192 * 5);
  int total = 0;
  std::uint64_t most = 5;
  run<Collectives, W>({3, 1}, Collectives::Args{out.data(), &total, &most});
  EXPECT_EQ(total, 3 * 3 * 192);  // three schedules
  EXPECT_EQ(most, (std::uint64_t{7} << 32) + 292);
  for (std::size_t i = 0; i < 3 * 192; ++i) {
    const int t = static_cast<int>(i) % 192;
    std::uint64_t thirds = 0;
    for (int l = 0; l < W; l += 3) thirds |= std::uint64_t{1} << l;
    EXPECT_EQ(out[i * 5], t / W * W + (t + 1) % W);
    EXPECT_EQ(out[i * 5 + 1], static_cast<int>(thirds >> (W - 8)));
    EXPECT_EQ(out[i * 5 + 2], 191 * 96);
    EXPECT_EQ(out[i * 5 + 3], 292);
    EXPECT_EQ(out[i * 5 + 4], 191 - t);
  }
}

// Two stages: the copy of the next tile is in flight while this one is read.
struct Pipeline {
  static constexpr int threads(int) { return 64; }
  struct Shared {
    gpu::array<int, 2, 256> stage;
  };
  struct Args {
    const int* in;  // (tiles, 256)
    int* out;       // (tiles, 256), turned around
    int tiles;
  };
  template <class Cta> void operator()(Cta& cta, const Args& a) const {
    auto& s = cta.template shared<Shared>().stage;
    const int t = cta.thread();
    const auto fetch = [&](int tile) {
      gpu::copy_async<4>(s, tile % 2, t * 4, a.in + (tile < a.tiles ? tile * 256 + t * 4 : 0), tile < a.tiles);
      gpu::commit_copies();
    };
    fetch(0);
    for (int tile = 0; tile < a.tiles; ++tile) {
      fetch(tile + 1);
      gpu::wait_copies<1>();
      cta.sync();
      for (int i = t; i < 256; i += 64) a.out[tile * 256 + i] = s.get(tile % 2, 255 - i);
      cta.sync();
    }
    gpu::wait_copies<0>();
  }
};

TYPED_TEST(Machines, CopiesLandWhenWaitedFor) {
  std::vector<int> in(5 * 256), out(5 * 256);
  std::iota(in.begin(), in.end(), 1);
  run<Pipeline, TypeParam::lanes>({1, 1}, Pipeline::Args{in.data(), out.data(), 5});
  for (std::size_t i = 0; i < in.size(); ++i) ASSERT_EQ(out[i], in[i / 256 * 256 + 255 - i % 256]);
}

// A thread has tiles come into a ring; the rest reads them where they lie, and blocks of a cluster send each other what they found.
struct Ring {
  static constexpr int cluster = 2, stages = 2;
  static constexpr int threads(int wave) { return 2 * wave; }
  struct Shared {
    gpu::swizzled<bf16, stages * 16, 64> tile;
    gpu::array<float, 64, 4> sent;
    gpu::arrivals here[stages], read[stages], sums;
  };
  struct Args {
    gpu::TileMap in;  // (16, 320), in tiles of 16 rows
    float* out;       // (blocks, 64): sums over the columns that both blocks of a cluster read, row by row, four times
  };
  template <class Cta> void operator()(Cta& cta, const Args& a) const {
    auto& s = cta.template shared<Shared>();
    const int share = cta.block_x() % 2;
    if (cta.thread() == 0) {
      for (int i = 0; i < stages; ++i) s.here[i].begin(1), s.read[i].begin(1);
      s.sums.begin(1);
      s.sums.expect(64 * 16);
    }
    gpu::share_arrivals(cta);
    cta.cluster_arrive();
    if (cta.thread() == Cta::wave)
      for (int n = 0; n < 3; ++n) {  // the sixth tile does not exist
        if (n >= stages) s.read[n % stages].wait(n / stages - 1);
        s.here[n % stages].expect(16 * 128);
        gpu::copy_tile(s.tile, n % stages * 16, a.in, 16, 0, (share * 3 + n) * 64, s.here[n % stages]);
      }
    float sum = 0;
    if (cta.wave_id() == 0)
      for (int n = 0; n < 3; ++n) {
        s.here[n % stages].wait(n / stages);
        for (int c = 0; c < 64; ++c) sum += static_cast<float>(s.tile.get(n % stages * 16 + cta.lane() % 16, c));
        cta.wave_sync();
        if (cta.lane() == 0) s.read[n % stages].arrive();
      }
    cta.cluster_wait();
    if (cta.wave_id() != 0) return;
    for (int i = cta.lane(); i < 64; i += Cta::wave) {
      const float v = cta.shfl(sum, i % 16);
      gpu::send(1 - share, s.sent, i, {{v, v, v, v}}, s.sums);
    }
    s.sums.wait(0);
    for (int i = cta.lane(); i < 64; i += Cta::wave) a.out[cta.block_x() * 64 + i] = cta.shfl(sum, i % 16) + s.sent.get(i, i % 4);
  }
};

TYPED_TEST(Machines, TilesArriveAndClustersExchange) {
  std::vector<bf16> in(16 * 320);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = bf16(static_cast<float>(i % 7));
  std::vector<float> out(4 * 64);
  run<Ring, TypeParam::lanes>({4, 1}, Ring::Args{gpu::map_tiles(in.data(), 16, 320, 320, 16), out.data()});
  for (std::size_t i = 0; i < out.size(); ++i) {
    float sum = 0;
    for (std::size_t c = 0; c < 320; ++c) sum += static_cast<float>(in[i % 16 * 320 + c]);
    ASSERT_EQ(out[i], sum) << i;
  }
}

// Four waves multiply tiles where they lie; of 48 rows, the last wave's are not looked at.
struct Together {
  static constexpr int threads(int wave) { return 4 * wave; }
  struct Shared {
    gpu::swizzled<bf16, 64, 64> x;
    gpu::swizzled<bf16, 64, 64> w;
  };
  struct Args {
    const bf16 *x, *w;  // (48, 64), (64, 64)
    float* y;           // (48, 64)
  };
  template <class Cta> void operator()(Cta& cta, const Args& a) const {
    auto& s = cta.template shared<Shared>();
    for (int i = cta.thread(); i < 64 * 64; i += cta.threads()) {
      if (i < 48 * 64) s.x.set(i / 64, i % 64, a.x[i]);
      s.w.set(i / 64, i % 64, a.w[i]);
    }
    cta.sync();
    gpu::FragOut<32> sum[4];
    gpu::begin_products(sum);
    for (int k = 0; k < 64; k += 16) gpu::multiply_tiles(cta, sum, s.x, 0, 48, s.w, 0, k);
    gpu::commit_products();
    gpu::wait_products<0>(cta);
    for (int j = 0; j < 4; ++j)
      for (int e = 0; e < 8; ++e) {
        const gpu::At at = gpu::Tile<32>::d(cta.lane(), e);
        const int row = 16 * cta.wave_id() + at.row;
        if (row < 48) a.y[row * 64 + 16 * j + at.col] = sum[j].v[e];
      }
  }
};

TEST(Warpgroup, MultipliesTilesWhereTheyLie) {
  std::mt19937 generator(2);
  std::vector<bf16> x(48 * 64), w(64 * 64);
  for (auto* m : {&x, &w})
    for (auto& v : *m) v = bf16(static_cast<float>(generator() % 17) - 8);
  std::vector<float> y(48 * 64);
  run<Together, 32>({1, 1}, Together::Args{x.data(), w.data(), y.data()});
  for (std::size_t r = 0; r < 48; ++r)
    for (std::size_t o = 0; o < 64; ++o) {
      float sum = 0;
      for (std::size_t k = 0; k < 64; ++k) sum += static_cast<float>(x[r * 64 + k]) * static_cast<float>(w[o * 64 + k]);
      ASSERT_EQ(y[r * 64 + o], sum) << r << " " << o;
    }
}

// A map is complete: every element of the tile at exactly one place.
template <int W, class Map> constexpr bool complete(Map map) {
  std::array<int, 256> seen{};
  for (int l = 0; l < W; ++l)
    for (int i = 0; i < gpu::Tile<W>::n; ++i) {
      const gpu::At at = map(l, i);
      if (at.row < 0 || at.row > 15 || at.col < 0 || at.col > 15) return false;
      ++seen[static_cast<std::size_t>(at.row * 16 + at.col)];
    }
  for (int n : seen)
    if (n != 1) return false;
  return true;
}
// Rows and slots say the same as the maps; slots of A and B name the same k; elements of a run are neighbours.
template <int W> constexpr bool consistent() {
  using T = gpu::Tile<W>;
  int k_of[4][4] = {{-1, -1, -1, -1}, {-1, -1, -1, -1}, {-1, -1, -1, -1}, {-1, -1, -1, -1}};
  for (int l = 0; l < W; ++l)
    for (int i = 0; i < T::n; ++i) {
      if (T::a(l, i).row != T::row(l, T::a_row(i)) || T::b(l, i).row != T::row(l, T::b_row(i))) return false;
      int& k = k_of[T::group(l)][T::a_slot(i)];
      if (k < 0) k = T::a(l, i).col;
      if (k != T::a(l, i).col) return false;
      if (i % T::run != 0 && (T::a(l, i).col != T::a(l, i - 1).col + 1 || T::a(l, i).row != T::a(l, i - 1).row ||
                              T::b(l, i).col != T::b(l, i - 1).col + 1 || T::b(l, i).row != T::b(l, i - 1).row))
        return false;
    }
  for (int l = 0; l < W; ++l)
    for (int i = 0; i < T::n; ++i)
      if (k_of[T::group(l)][T::b_slot(i)] != T::b(l, i).col) return false;
  return true;
}
template <int W> constexpr bool proved() {
  using T = gpu::Tile<W>;
  return complete<W>(T::a) && complete<W>(T::b) && complete<W>(T::d) && consistent<W>();
}
static_assert(proved<32>() && proved<64>());

struct Product {
  static constexpr int threads(int wave) { return 2 * wave; }
  struct Shared {
    gpu::array<bf16, 32, 40> a, b;
  };
  struct Args {
    const bf16 *a, *b;  // (32, 32) each
    float* d;           // (32, 32)
  };
  template <class Cta> void operator()(Cta& cta, const Args& g) const {
    auto& s = cta.template shared<Shared>();
    for (int i = cta.thread(); i < 1024; i += cta.threads()) {
      s.a.set(i / 32, i % 32, g.a[i]);
      s.b.set(i / 32, i % 32, g.b[i]);
    }
    cta.sync();
    for (int n = 0; n < 32; n += 16) {
      gpu::FragOut<Cta::wave> d;
      for (int k = 0; k < 32; k += 16) gpu::mma(cta, d, gpu::load_a(cta, s.a, cta.wave_id() * 16, k), gpu::load_b(cta, s.b, n, k));
      for (int i = 0; i < gpu::Tile<Cta::wave>::n; ++i) {
        const gpu::At at = gpu::Tile<Cta::wave>::d(cta.lane(), i);
        g.d[(cta.wave_id() * 16 + at.row) * 32 + n + at.col] = d.v[i];
      }
    }
  }
};

TYPED_TEST(Machines, MatrixUnitMultipliesThroughItsMaps) {
  std::mt19937 generator(1);
  std::vector<bf16> a(1024), b(1024);
  for (auto* m : {&a, &b})
    for (auto& x : *m) x = bf16(static_cast<float>(generator() % 17) - 8);
  std::vector<float> d(1024);
  run<Product, TypeParam::lanes>({1, 1}, Product::Args{a.data(), b.data(), d.data()});
  for (std::size_t r = 0; r < 32; ++r)
    for (std::size_t c = 0; c < 32; ++c) {
      float sum = 0;  // small integers: exact
      for (std::size_t k = 0; k < 32; ++k) sum += static_cast<float>(a[r * 32 + k]) * static_cast<float>(b[c * 32 + k]);
      ASSERT_EQ(d[r * 32 + c], sum) << r << " " << c;
    }
}

}  // namespace
}  // namespace atom
