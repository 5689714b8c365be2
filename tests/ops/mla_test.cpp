// Latent attention on Cpu and Emu against Ref: prefill, chunked prefill and decode, in both forms.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <numeric>

#include "atom/ops/mla_cpu.hpp"
#include "atom/ops/mla_gpu.hpp"
#include "atom/ops/mla_ref.hpp"
#include "atom/quant/codec.hpp"

#include "conformance.hpp"
#include "cpu_setting.hpp"
#include "emu_setting.hpp"
#include "paged_batch.hpp"

namespace atom {
namespace {

using namespace test;

/// The weight as a kernel wants it, and its scales.
template <class Q> struct Weight {
  std::vector<typename Q::weight> plain;
  std::vector<char> packed;
  std::vector<float> scale;

  Weight(int rows, int cols) {
    const auto noisy = noise<float>(static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols), 3, 1 / std::sqrt(float(cols)));
    for (int r = 0; r < rows; ++r) {
      const float* row = noisy.data() + static_cast<std::ptrdiff_t>(r) * cols;
      if constexpr (quant::Scaled<Q>) scale.push_back(quant::codec<Q>::scale_of(row, cols));
      for (int c = 0; c < cols; ++c)
        if constexpr (quant::Scaled<Q>)
          plain.push_back(quant::codec<Q>::encode(row[c], scale.back()));
        else
          plain.push_back(typename Q::weight(row[c]));
    }
    const auto& layout = impl<kernels::linear<Q, float>, Cpu>::layout();
    packed.resize(layout.bytes(rows, cols) + 64);
    layout.put(at(), rows, cols, {plain.data(), cols, 0, rows});
  }
  typename Q::weight* at() {
    auto p = reinterpret_cast<std::uintptr_t>(packed.data());
    return reinterpret_cast<typename Q::weight*>((p + 63) / 64 * 64);
  }
};

/// A batch over a cache whose pages lie in random order; whatever no sequence owns is NaN.
template <class Q, class T, class Kv, int C, int R, int N, int V> struct Batch {
  using op = kernels::latent_attention<Q, T, Kv, C, R, N, V>;
  using layout = kernels::LatentLayout<Kv, C + R>;
  Weight<Q> weight;
  std::vector<T> q, o;
  std::vector<Kv> pages;
  PagedBatch paged;
  typename op::args args{};

  Batch(int heads, const std::vector<PagedBatch::Sequence>& seqs) : weight(heads * (N + V), C), paged(seqs, layout::page, 2) {
    const int rows = paged.rows(), ldq = heads * (N + R) + 8;
    q = noise<T>(static_cast<std::size_t>(rows) * static_cast<std::size_t>(ldq), 1);
    o.assign(static_cast<std::size_t>(rows) * static_cast<std::size_t>(heads * V), T(NAN));
    pages.assign(layout::elements(static_cast<std::size_t>(paged.pages)), Kv(NAN));
    std::mt19937 generator(3);
    std::normal_distribution<float> normal;
    paged.each_token([&](int page, int token) {
      for (std::size_t i = 0; i < C + R; ++i) pages[layout::at(page * layout::page + token) + i] = Kv(normal(generator));
    });
    args = {q.data(),
            weight.plain.data(),
            weight.scale.data(),
            o.data(),
            pages.data(),
            paged.table.data(),
            paged.first_row.data(),
            paged.context.data(),
            rows,
            paged.seqs(),
            heads,
            ldq,
            paged.longest,
            1 / std::sqrt(static_cast<float>(N + R))};
  }

  std::vector<T> on_cpu(int threads) {
    std::fill(o.begin(), o.end(), T(NAN));
    auto a = args;
    a.w = weight.at();
    const auto scratch = kernels::latent_scratch(op::dims, a.heads);
    ThreadPool* p = pool(threads, scratch.thread);
    p->reserve_shared(scratch.shared);
    run_on<op, Cpu>(p, a);
    return o;
  }
  void check_on_every_wave() {
    run_on<op, Ref>({}, args);
    const std::vector<T> want = o;
    on_every_wave([&]<class B>(B, typename B::stream machine) {
      std::fill(o.begin(), o.end(), T(NAN));
      std::vector<float> scratch(impl<op, B>::scratch_bytes(args.rows, args.seqs, args.heads) / sizeof(float) + 1, NAN);
      auto a = args;
      a.scratch = reinterpret_cast<std::byte*>(scratch.data());
      run_on<op, B>(machine, a);
      EXPECT_TRUE(close(o, want, 0.03f, 2 * ulp<T>));
      return o;
    });
  }
  void check() {
    run_on<op, Ref>({}, args);
    const std::vector<T> want = o;
    // bf16 rounds the absorbed query and the sum of rows, besides probabilities.
    const float absolute = std::same_as<T, bf16> ? 0.03f : 5e-5f;
    at_every_level([&] {
      const std::vector<T> got = on_cpu(2);
      EXPECT_TRUE(close(got, want, absolute, 2 * ulp<T>));
      EXPECT_TRUE(identical(on_cpu(1), got));
      EXPECT_TRUE(identical(on_cpu(3), got));
    });
  }
};

template <class Key> struct LatentAttention : testing::Test {};
template <class Q_, class T_, class Kv_> struct Key {
  template <int C, int R, int N, int V> using batch = Batch<Q_, T_, Kv_, C, R, N, V>;
};
using Keys = testing::Types<Key<quant::NoAs<float>, float, float>, Key<quant::NoAs<bf16>, float, float>,
                            Key<quant::NoAs<bf16>, bf16, bf16>, Key<quant::NoAs<fp16>, float, bf16>,
                            Key<quant::PerToken<int8>, float, float>, Key<quant::PerToken<int8>, bf16, bf16>>;
TYPED_TEST_SUITE(LatentAttention, Keys);

// Widths that differ in every place; 96 is no multiple of what a panel holds of int8.
template <class K> using Small = typename K::template batch<96, 32, 64, 32>;

TYPED_TEST(LatentAttention, PrefillOfRaggedLengths) { Small<TypeParam>(3, {{1, 1}, {2, 2}, {17, 17}, {33, 33}, {70, 70}}).check(); }
TYPED_TEST(LatentAttention, Decode) { Small<TypeParam>(3, {{1, 2}, {1, 16}, {1, 17}, {1, 300}, {1, 33}}).check(); }
TYPED_TEST(LatentAttention, ContextInChunks) { Small<TypeParam>(2, {{1, 256}, {1, 257}, {1, 700}, {2, 300}, {1, 30}}).check(); }
TYPED_TEST(LatentAttention, SeveralRowsBehindAPrefix) {
  Small<TypeParam>(2, {{3, 20}, {2, 257}, {0, 0}, {40, 130}, {5, 5}}).check();
}
TYPED_TEST(LatentAttention, ManyHeads) { Small<TypeParam>(40, {{1, 40}, {3, 21}}).check(); }

TEST(LatentAttention_, BothForms) {
  using B = Batch<quant::NoAs<bf16>, float, float, 64, 32, 32, 32>;
  EXPECT_TRUE(kernels::latent_expands(B::op::dims, 130, 130));
  EXPECT_TRUE(kernels::latent_expands(B::op::dims, 90, 560)) << "a prefix in pieces";
  EXPECT_FALSE(kernels::latent_expands(B::op::dims, 40, 300));
  EXPECT_FALSE(kernels::latent_expands(B::op::dims, 1, 300));
  B(1, {{130, 130}, {90, 560}, {40, 300}}).check();
  Batch<quant::NoAs<bf16>, bf16, bf16, 64, 32, 32, 32>(1, {{530, 530}, {90, 560}, {40, 300}}).check();
}
TEST(LatentAttention_, WidthsOfDeepseek) {
  Batch<quant::NoAs<bf16>, bf16, bf16, 512, 64, 128, 128>(2, {{20, 20}, {1, 90}, {4, 50}}).check();
}

TEST(LatentAttention_, OnEveryWave) {
  using B = Batch<quant::NoAs<bf16>, bf16, bf16, 128, 32, 64, 64>;
  B(3, {{1, 1}, {2, 2}, {17, 17}, {0, 0}, {40, 130}, {1, 300}}).check_on_every_wave();
  B(20, {{1, 33}, {1, 150}, {3, 21}}).check_on_every_wave();
  B(16, {{1, 16}, {1, 600}}).check_on_every_wave();
}
// A lone row's answer does not depend on who is in its batch.
TEST(LatentAttention_, OfALoneRowIsItsOwn) {
  using B = Batch<quant::NoAs<bf16>, bf16, bf16, 128, 32, 64, 64>;
  on_every_wave([&]<class E>(E, typename E::stream machine) {
    const auto first_row_of = [&](B b) {
      std::vector<float> scratch(impl<B::op, E>::scratch_bytes(b.args.rows, b.args.seqs, b.args.heads) / sizeof(float) + 1);
      b.args.scratch = reinterpret_cast<std::byte*>(scratch.data());
      run_on<B::op, E>(machine, b.args);
      return std::vector<bf16>(b.o.begin(), b.o.begin() + 3 * 64);
    };
    B alone(3, {{1, 400}}), among(3, {{1, 400}, {1, 30}, {30, 30}});
    for (int t = 0; t < 400; ++t) {  // the same tokens
      const auto at = [&](B& b) {
        return B::layout::at(b.paged.table[static_cast<std::size_t>(t / B::layout::page)] * B::layout::page + t % B::layout::page);
      };
      std::copy_n(alone.pages.begin() + static_cast<std::ptrdiff_t>(at(alone)), 160,
                  among.pages.begin() + static_cast<std::ptrdiff_t>(at(among)));
    }
    const auto want = first_row_of(alone);
    EXPECT_TRUE(identical(first_row_of(among), want));
    return want;
  });
}

TEST(LatentWrite, EqualsReference) {
  constexpr int C = 96, R = 32, rows = 70, ldc = C + 8, ldk = R + 3;
  const auto check = [&]<class T, class Kv>(T, Kv) {
    using op = kernels::latent_write<T, Kv, C, R>;
    const auto c = noise<T>(rows * ldc, 1), k = noise<T>(rows * ldk, 2);
    std::vector<int> slots(rows + 30);
    std::iota(slots.begin(), slots.end(), 0);
    std::shuffle(slots.begin(), slots.end(), std::mt19937(4));
    std::vector<Kv> want((rows + 30) * (C + R), Kv(0.5f)), got = want;
    run_on<op, Ref>({}, {c.data(), k.data(), want.data(), slots.data(), rows, ldc, ldk});
    run_on<op, Cpu>(pool(2), {c.data(), k.data(), got.data(), slots.data(), rows, ldc, ldk});
    EXPECT_TRUE(identical(got, want));
    if constexpr (std::same_as<T, bf16>)
      on_every_wave([&]<class B>(B, typename B::stream machine) {
        using wide = kernels::latent_write<T, Kv, 128, 32>;
        std::vector<Kv> on_gpu((rows + 30) * 160, Kv(0.5f)), on_ref = on_gpu;
        run_on<wide, Ref>({}, {c.data(), k.data(), on_ref.data(), slots.data(), rows / 2, ldc, ldk});
        run_on<wide, B>(machine, {c.data(), k.data(), on_gpu.data(), slots.data(), rows / 2, ldc, ldk});
        EXPECT_TRUE(identical(on_gpu, on_ref));
        return on_gpu;
      });
  };
  check(float{}, float{});
  check(bf16{}, bf16{});
  check(float{}, bf16{});
}

TEST(RopePairs, EqualsReference) {
  const auto check = [&]<class T>(T, int heads, int rotary_dim) {
    using op = kernels::rope_pairs<T>;
    constexpr int rows = 37, positions = 50;
    const int ldh = rotary_dim + 64, ldx = heads * ldh + 5;
    const auto x = noise<T>(static_cast<std::size_t>(rows) * static_cast<std::size_t>(ldx), 5, 3);
    const auto table = noise<float>(static_cast<std::size_t>(positions * rotary_dim), 8);
    std::vector<int> at(rows);
    for (int r = 0; r < rows; ++r) at[static_cast<std::size_t>(r)] = r * 7 % positions;
    const auto on = [&](auto backend, auto stream) {
      std::vector<T> y = x;
      run_on<op, decltype(backend)>(stream, {y.data(), at.data(), table.data(), rows, heads, ldx, ldh, rotary_dim});
      return y;
    };
    const auto want = on(Ref{}, Ref::stream{});
    at_every_level([&] { EXPECT_TRUE(close(on(Cpu{}, pool(2)), want, 16 * 0x1p-24f, 2 * ulp<T>)); });
    on_every_wave([&](auto backend, auto machine) {
      const auto got = on(backend, machine);
      EXPECT_TRUE(close(got, want, 16 * 0x1p-24f, 2 * ulp<T>));
      return got;
    });
  };
  check(float{}, 3, 64);
  check(bf16{}, 3, 64);
  check(bf16{}, 1, 32);
}

/// Neighbours turn by the angle of their pair.
TEST(RopePairs, TurnsNeighbours) {
  float x[] = {1, 0, 0, 2};
  const float cos_sin[] = {0, 1, 1, 0};  // a quarter turn, and none
  const int position = 0;
  run_on<kernels::rope_pairs<float>, Ref>({}, {x, &position, cos_sin, 1, 1, 4, 4, 4});
  EXPECT_EQ(std::vector<float>(x, x + 4), (std::vector<float>{0, 1, 0, 2}));
}

}  // namespace
}  // namespace atom
