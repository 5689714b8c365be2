#pragma once
// Batches for tests of paged_attention: a cache in pages, Ref on it, and every Cpu level and wave of the emulator against that.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <numeric>
#include <random>
#include <string>

#include "atom/ops/attention_cpu.hpp"
#include "atom/ops/attention_gpu.hpp"
#include "atom/ops/attention_ref.hpp"

#include "conformance.hpp"
#include "cpu_setting.hpp"
#include "emu_setting.hpp"
#include "paged_batch.hpp"

namespace atom::test {

/// A batch over a cache whose pages lie in random order; whatever no sequence owns is NaN.
template <class T, class Kv, int D, kernels::AttnFlags F = kernels::AttnFlags{}> struct AttentionBatch {
  using op = kernels::paged_attention<T, Kv, D, F>;
  using layout = kernels::KvLayout<Kv, D>;
  std::vector<T> q, o;
  std::vector<typename layout::element> k, v;
  std::vector<float> sinks;
  PagedBatch batch;
  typename op::args args{};
  float spread;  // of queries and keys

  AttentionBatch(int heads, int kv_heads, const std::vector<PagedBatch::Sequence>& seqs, float spread_ = 1, int window = 0)
      : batch(seqs, layout::page, 2), spread(spread_) {
    const int rows = batch.rows(), padding = 8, ldq = (heads + 2 * kv_heads) * D + padding;
    q = noise<T>(static_cast<std::size_t>(rows) * static_cast<std::size_t>(ldq), 1, spread);
    o.assign(static_cast<std::size_t>(rows) * static_cast<std::size_t>(heads * D), T(NAN));
    k.resize(layout::elements(static_cast<std::size_t>(batch.pages), kv_heads));
    std::memset(static_cast<void*>(k.data()), 0xff, k.size() * sizeof(k[0]));  // NaN, of every float type
    v = k;
    std::mt19937 generator(3);
    std::normal_distribution<float> normal;
    batch.each_token([&](int page, int token) {
      for (int h = 0; h < kv_heads; ++h) {
        float key[D], value[D];
        for (int i = 0; i < D; ++i) {
          key[i] = normal(generator) * spread;
          value[i] = normal(generator);
        }
        put_row<Kv>(key, k, page, h, token, kv_heads);
        put_row<Kv>(value, v, page, h, token, kv_heads);
      }
    });
    args = {q.data(),
            o.data(),
            k.data(),
            v.data(),
            batch.table.data(),
            batch.first_row.data(),
            batch.context.data(),
            rows,
            batch.seqs(),
            heads,
            kv_heads,
            ldq,
            batch.longest,
            1 / std::sqrt(static_cast<float>(D))};
    args.window = window;
    if constexpr (F.sinks) {
      sinks = noise<float>(static_cast<std::size_t>(heads), 9, 3);
      sinks[0] = 90;  // next to nothing is left for the values
      sinks.back() = -INFINITY;
      args.sinks = sinks.data();
    }
  }

  std::vector<T> on_ref() {
    std::fill(o.begin(), o.end(), T(NAN));
    run_on<op, Ref>({}, args);
    return o;
  }
  std::vector<T> on_cpu(int threads) {
    std::fill(o.begin(), o.end(), T(NAN));
    run_on<op, Cpu>(pool(threads, attention_scratch_bytes(args.heads, args.kv_heads, D)), args);
    return o;
  }
  void check() {
    // bf16 probabilities: each is off by 2^-9 of itself at most, so a weighted mean of N(0, 1) by little more. In float, what a
    // score of size spread^2 loses in its sum is what its probability is off by.
    const float absolute = std::same_as<T, bf16> ? 0.01f : 2e-5f + 2e-6f * spread * spread;
    const std::vector<T> want = on_ref();
    at_every_level([&] {
      const std::vector<T> got = on_cpu(2);
      EXPECT_TRUE(close(got, want, absolute, 2 * ulp<T>));
      EXPECT_TRUE(identical(on_cpu(1), got));
      EXPECT_TRUE(identical(on_cpu(3), got));
    });
    if constexpr (HasKernel<op, Emu<32>>)
      if (products() < 500'000)  // what the emulator does in a tenth of a second
        on_every_wave([&]<class B>(B, typename B::stream machine) {
          std::fill(o.begin(), o.end(), T(NAN));
          run_on<op, B>(machine, args);
          EXPECT_TRUE(close(o, want, absolute, 2 * ulp<T>));
          return o;
        });
  }
  double products() const {
    double pairs = 0;
    for (std::size_t s = 0; s < batch.context.size(); ++s)
      pairs += double(batch.first_row[s + 1] - batch.first_row[s]) * batch.context[s];
    return pairs * args.heads * D;
  }
};

template <class T_, class Kv_, int D_> struct Key {
  using T = T_;
  using Kv = Kv_;
  static constexpr int D = D_;
};

template <class K, kernels::AttnFlags F> void check_windows(int group) {
  for (int window : {1, 5, 16, 40, 128, 300}) {
    SCOPED_TRACE(std::to_string(group) + " heads, window " + std::to_string(window));
    using B = AttentionBatch<typename K::T, typename K::Kv, K::D, F>;
    B(2 * group, 2, {{1, 1}, {16, 16}, {33, 33}, {3, 20}, {40, 130}, {129, 300}}, 1, window).check();
    B(2 * group, 2, {{1, 1}, {1, 16}, {1, 17}, {1, 129}, {1, 144}, {1, 145}, {1, 513}, {1, 1200}, {0, 30}, {20, 50}}, 1, window)
        .check();
  }
}

/// Every backend writes the pages that Ref does, bit for bit, and nothing beside. qkv: (rows, (2 + 2 kv_heads) D), two heads of q.
template <class Kv, int D, class T>
void check_kv_write(const std::vector<T>& qkv, int rows, int kv_heads, typename kernels::KvLayout<Kv, D>::element before = {}) {
  using op = kernels::kv_write<T, Kv, D>;
  using layout = kernels::KvLayout<Kv, D>;
  const int ld = (2 + 2 * kv_heads) * D, pages = rows / layout::page + 2;
  std::vector<int> slots(static_cast<std::size_t>(pages * layout::page));
  std::iota(slots.begin(), slots.end(), 0);
  std::shuffle(slots.begin(), slots.end(), std::mt19937(4));
  const std::vector<typename layout::element> untouched(layout::elements(static_cast<std::size_t>(pages), kv_heads), before);
  const auto written = [&]<class B>(B, typename B::stream stream) {
    auto k = untouched, v = untouched;
    run_on<op, B>(stream,
                  {qkv.data() + 2 * D, qkv.data() + (2 + kv_heads) * D, k.data(), v.data(), slots.data(), rows, kv_heads, ld});
    return std::pair{std::move(k), std::move(v)};
  };
  const auto want = written(Ref{}, {});
  const auto expect = [&](const auto& got) {
    EXPECT_TRUE(identical(got.first, want.first));
    EXPECT_TRUE(identical(got.second, want.second));
  };
  at_every_level([&] { expect(written(Cpu{}, pool(2))); });
  using fused = kernels::rope_kv_write<T, Kv, D, kernels::RopeFlags{}>;
  if constexpr (HasKernel<fused, Emu<32>>)  // with heads of which nothing turns
    on_every_wave([&]<class B>(B, typename B::stream machine) {
      auto x = qkv;
      auto k = untouched, v = untouched;
      const std::vector<int> positions(static_cast<std::size_t>(rows));
      run_on<fused, B>(machine,
                       {{x.data(), positions.data(), nullptr, nullptr, nullptr, rows, 2, kv_heads, ld, 0, 0},
                        {x.data() + 2 * D, x.data() + (2 + kv_heads) * D, k.data(), v.data(), slots.data(), rows, kv_heads, ld}});
      auto got = std::pair{std::move(k), std::move(v)};
      expect(got);
      return got.second;
    });
}

}  // namespace atom::test
