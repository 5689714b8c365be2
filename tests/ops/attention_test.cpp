// paged_attention, kv_write and rope on Cpu and Emu against Ref.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <numeric>

#include "attention_batch.hpp"

namespace atom {
namespace {

using namespace test;
template <class T, class Kv, int D, kernels::AttnFlags F = kernels::AttnFlags{}> using Batch = AttentionBatch<T, Kv, D, F>;

template <class Key> struct PagedAttention : testing::Test {};
using Keys =
    testing::Types<Key<float, float, 64>, Key<float, float, 128>, Key<bf16, bf16, 64>, Key<bf16, bf16, 128>, Key<float, bf16, 64>,
                   Key<float, bf16, 128>, Key<bf16, bf16, 16>, Key<bf16, bf16, 96>, Key<float, float, 256>>;
TYPED_TEST_SUITE(PagedAttention, Keys);
template <class K> using BatchOf = Batch<typename K::T, typename K::Kv, K::D>;

TYPED_TEST(PagedAttention, PrefillOfRaggedLengths) {
  BatchOf<TypeParam>(4, 2, {{1, 1}, {2, 2}, {15, 15}, {16, 16}, {17, 17}, {33, 33}, {140, 140}}).check();
}
TYPED_TEST(PagedAttention, ChunkedPrefillBehindACachedPrefix) {
  BatchOf<TypeParam>(4, 2, {{3, 20}, {40, 130}, {2, 257}, {31, 32}, {129, 400}}).check();
}
TYPED_TEST(PagedAttention, DecodeOfManyContexts) {
  BatchOf<TypeParam>(4, 2, {{1, 1}, {1, 7}, {1, 16}, {1, 17}, {1, 127}, {1, 128}, {1, 129}, {1, 511}, {1, 513}, {1, 1200}}).check();
}
TYPED_TEST(PagedAttention, MixedBatchWithIdleSequences) {
  BatchOf<TypeParam>(2, 1, {{0, 0}, {1, 600}, {0, 30}, {20, 50}, {1, 3}, {0, 0}}).check();
}
TYPED_TEST(PagedAttention, NothingToDo) {
  BatchOf<TypeParam>(2, 1, {}).check();
  BatchOf<TypeParam>(2, 1, {{0, 5}}).check();
}
TYPED_TEST(PagedAttention, EveryGroup) {
  for (int group : {1, 2, 4, 5, 7, 8, 16, 17}) {
    SCOPED_TRACE(group);
    BatchOf<TypeParam>(group * 2, 2, {{1, 40}, {1, 700}, {19, 37}, {5, 5}}).check();
  }
}
TYPED_TEST(PagedAttention, ScoresFarApart) { BatchOf<TypeParam>(4, 2, {{1, 700}, {70, 200}}, 12).check(); }

using kernels::AttnFlags;
TYPED_TEST(PagedAttention, WindowAndSinks) { check_windows<TypeParam, AttnFlags{.window = true, .sinks = true}>(2); }
TEST(PagedAttention_, WindowsOfEveryGroup) {
  for (int group : {1, 7}) check_windows<Key<bf16, bf16, 64>, AttnFlags{.window = true}>(group);
}
TEST(PagedAttention_, Sinks) {
  for (int group : {1, 2, 3, 8}) {
    SCOPED_TRACE(group);
    Batch<bf16, bf16, 64, AttnFlags{.sinks = true}>(group * 2, 2, {{1, 40}, {1, 1200}, {70, 370}, {5, 5}}).check();
  }
}

TEST(PagedAttention_, AWindowAsLongAsTheContextIsNone) {
  constexpr AttnFlags windowed{.window = true};
  Batch<bf16, bf16, 64> plain(4, 2, {{1, 700}, {90, 300}});
  for (int window : {0, 700, 100000}) {
    Batch<bf16, bf16, 64, windowed> same(4, 2, {{1, 700}, {90, 300}}, 1, window);
    EXPECT_TRUE(identical(same.on_ref(), plain.on_ref()));
    at_every_level([&] { EXPECT_TRUE(identical(same.on_cpu(2), plain.on_cpu(2))); });
  }
}

TEST(PagedAttention_, CostCountsWhatTheWindowLeaves) {
  using op = kernels::paged_attention<float, float, 64, AttnFlags{.window = true}>;
  for (const auto& [rows, context] : {std::pair{1, 50}, {50, 50}, {7, 50}, {3, 3}})
    for (int window : {0, 1, 3, 44, 45, 50, 90}) {
      double pairs = 0;
      std::vector<bool> seen(static_cast<std::size_t>(context));
      for (int i = 0; i < rows; ++i)
        for (int p = context - rows + i, j = 0; j <= p; ++j)
          if (window == 0 || j > p - window) ++pairs, seen[static_cast<std::size_t>(j)] = true;
      const int first_row[] = {0, rows};
      op::args a{};
      a.first_row = first_row, a.context = &context, a.rows = rows, a.seqs = 1, a.heads = 2, a.kv_heads = 1, a.window = window;
      const double tokens = static_cast<double>(std::count(seen.begin(), seen.end(), true));
      EXPECT_EQ(op::cost(a).flops, 4 * 2 * 64 * pairs) << rows << " of " << context << ", window " << window;
      EXPECT_EQ(op::cost(a).bytes, 2 * rows * 2 * 64 * 4 + 2 * tokens * 64 * 4);
    }
}

TEST(PagedAttention_, ManySequencesAtOnce) {  // more than one wave
  std::vector<PagedBatch::Sequence> seqs;
  for (int i = 0; i < 300; ++i) seqs.push_back({i % 7 == 3 ? 2 : 1, i % 11 == 0 ? 1100 : 2 + i});
  Batch<bf16, bf16, 64>(2, 1, seqs).check();
}

TEST(PagedAttention_, ASequenceDoesNotDependOnItsBatch) {
  using B = Batch<bf16, bf16, 128>;
  B all(4, 2, {{1, 900}, {60, 90}, {1, 33}});
  at_every_level([&] {
    const std::vector<bf16> together = all.on_cpu(2);
    for (int s = 0; s < 3; ++s) {
      B one = all;
      const auto width = static_cast<std::size_t>(one.args.heads * 128);
      const int first = all.batch.first_row[static_cast<std::size_t>(s)],
                rows = all.batch.first_row[static_cast<std::size_t>(s) + 1] - first;
      const int bounds[] = {0, rows};
      one.args.q = all.q.data() + first * all.args.ldq;
      one.args.o = one.o.data();
      one.args.block_table = all.batch.table.data() + s * all.args.table_stride;
      one.args.first_row = bounds;
      one.args.context = all.batch.context.data() + s;
      one.args.rows = rows;
      one.args.seqs = 1;
      run_on<B::op, Cpu>(pool(2, attention_scratch_bytes(4, 2, 128)), one.args);
      EXPECT_EQ(0, std::memcmp(one.o.data(), together.data() + static_cast<std::size_t>(first) * width,
                               static_cast<std::size_t>(rows) * width * sizeof(bf16)))
          << s;
    }
  });
}

TEST(KvWrite, EqualsReference) {
  for (int rows : {0, 1, 37, 200}) {
    const auto heads = [&](int n, int dim) { return static_cast<std::size_t>(rows * n * dim); };
    check_kv_write<float, 64>(noise<float>(heads(6, 64), 3), rows, 2, 0.5f);
    check_kv_write<bf16, 128>(noise<bf16>(heads(6, 128), 3), rows, 2, bf16(0.5f));
    check_kv_write<bf16, 64>(noise<float>(heads(8, 64), 3), rows, 3, bf16(0.5f));
  }
}

template <class T, int D, bool Norm, bool Once = false> void check_rope(int rows, int heads, int kv_heads, int rotary_dim) {
  using op = kernels::rope<T, D, kernels::RopeFlags{.qk_norm = Norm, .once = Once}>;
  constexpr int positions = 50;
  const int ld = (heads + 2 * kv_heads) * D + 16;
  const auto qkv = noise<T>(static_cast<std::size_t>(rows) * static_cast<std::size_t>(ld), 5, 3);
  const auto q_norm = noise<float>(D, 6), k_norm = noise<float>(D, 7), angles = noise<float>(positions * D, 8);
  std::vector<float> table(static_cast<std::size_t>(positions * rotary_dim));
  for (int p = 0; p < positions; ++p)
    for (int i = 0; i < rotary_dim / 2; ++i) {
      const float angle = angles[static_cast<std::size_t>(p * D + i)] * 10;
      table[static_cast<std::size_t>(p * rotary_dim + i)] = std::cos(angle);
      table[static_cast<std::size_t>(p * rotary_dim + rotary_dim / 2 + i)] = std::sin(angle);
    }
  std::vector<int> at(static_cast<std::size_t>(rows));
  for (std::size_t r = 0; r < at.size(); ++r) at[r] = static_cast<int>(r * 7 % positions);
  const auto on = [&](auto backend, auto stream) {
    std::vector<T> x = qkv;
    run_on<op, decltype(backend)>(stream, {x.data(), at.data(), table.data(), Norm ? q_norm.data() : nullptr,
                                           Norm ? k_norm.data() : nullptr, rows, heads, kv_heads, ld, rotary_dim, 1e-6f});
    return x;
  };
  const auto want = on(Ref{}, Ref::stream{});
  // A rounding of the norm that falls the other way moves a value by one unit in the last place of its inputs.
  const auto agrees = [&](const std::vector<T>& got) { return close(got, want, Norm ? 16 * ulp<T> : 16 * 0x1p-24f, 2 * ulp<T>); };
  // GPUs do it on the way to the cache: their queries and the cache are what Ref turns, then writes.
  using fused = kernels::rope_kv_write<T, T, D, kernels::RopeFlags{.qk_norm = Norm, .once = Once}>;
  using layout = kernels::KvLayout<T, D>;
  std::vector<int> slots(static_cast<std::size_t>((rows / layout::page + 2) * layout::page));
  std::iota(slots.begin(), slots.end(), 0);
  std::shuffle(slots.begin(), slots.end(), std::mt19937(4));
  const auto at_once = [&]<class B>(B, typename B::stream stream) {
    std::vector<T> x = qkv, got, k(layout::elements(slots.size() / layout::page, kv_heads)), v = k;
    run_on<fused, B>(
        stream, {{x.data(), at.data(), table.data(), Norm ? q_norm.data() : nullptr, Norm ? k_norm.data() : nullptr, rows, heads,
                  kv_heads, ld, rotary_dim, 1e-6f},
                 {x.data() + heads * D, x.data() + (heads + kv_heads) * D, k.data(), v.data(), slots.data(), rows, kv_heads, ld}});
    for (std::ptrdiff_t r = 0; r < rows; ++r) got.insert(got.end(), x.begin() + r * ld, x.begin() + r * ld + heads * D);
    got.insert(got.end(), k.begin(), k.end());
    got.insert(got.end(), v.begin(), v.end());
    return got;
  };
  const auto want_at_once = at_once(Ref{}, Ref::stream{});
  if constexpr (HasKernel<fused, Emu<32>>)
    on_every_wave([&](auto backend, auto machine) {
      const auto got = at_once(backend, machine);
      EXPECT_TRUE(close(got, want_at_once, Norm ? 16 * ulp<T> : 16 * 0x1p-24f, 2 * ulp<T>));
      return got;
    });
  at_every_level([&] {
    const auto got = on(Cpu{}, pool(2));
    EXPECT_TRUE(agrees(got));
    EXPECT_TRUE(identical(on(Cpu{}, pool(1)), got));
    EXPECT_TRUE(identical(on(Cpu{}, pool(3)), got));
  });
}

TEST(Rope, EqualsReference) {
  for (int rows : {0, 1, 5, 70}) {
    check_rope<float, 64, false>(rows, 4, 2, 64);
    check_rope<bf16, 64, true>(rows, 4, 2, 64);
    check_rope<float, 128, true>(rows, 3, 1, 128);
    check_rope<bf16, 128, false>(rows, 14, 2, 128);
    check_rope<bf16, 128, true>(rows, 4, 2, 128);
    check_rope<float, 256, false>(rows, 2, 1, 256);
    check_rope<float, 256, true, true>(rows, 2, 1, 64);
    check_rope<bf16, 64, true, true>(rows, 4, 2, 64);
  }
}
TEST(Rope, PartOfAHead) {
  check_rope<float, 64, false>(9, 4, 2, 24);
  check_rope<bf16, 128, false>(9, 4, 2, 50);
  check_rope<bf16, 96, true>(9, 4, 2, 32);
}

}  // namespace
}  // namespace atom
