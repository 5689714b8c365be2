#pragma once
// Cases of gpu_conformance: latent attention.
#include <algorithm>
#include <numeric>

#include "atom/ops/mla_gpu.hpp"
#include "atom/ops/mla_ref.hpp"

#include "paged_batch.hpp"
#include "verdict.hpp"

namespace atom::test {

template <class B, class T> void rope_pairs(int rows, int heads, int rotary_dim) {
  using op = kernels::rope_pairs<T>;
  constexpr int positions = 50;
  const int ldh = rotary_dim + 64, ldx = heads * ldh + 5;
  auto x = noise<T>(size(rows, ldx), 50, 3);
  auto want = x;
  const auto table = noise<float>(size(positions, rotary_dim), 51);
  std::vector<int> at;
  for (int r = 0; r < rows; ++r) at.push_back(r * 7 % positions);
  run_on<op, Ref>({}, {want.data(), at.data(), table.data(), rows, heads, ldx, ldh, rotary_dim});
  Side<B> side;
  run_on<op, B>(side.stream(), {side.out(x), side.in(at), side.in(table), rows, heads, ldx, ldh, rotary_dim});
  Verdict(side.finish())
      .close(x, want, 2e-6f, 2 * ulp<T>)
      .template say<B>(std::string_view(op::name()), shape({rows, heads, rotary_dim}));
}

template <class B, int C, int R> void latent_write(int rows, int padding) {
  using op = kernels::latent_write<bf16, bf16, C, R>;
  const int ldc = C + padding, ldk = R + padding;
  const auto c = noise<bf16>(size(rows, ldc), 52), k = noise<bf16>(size(rows, ldk), 53);
  std::vector<int> slots(size(rows + 30, 1));
  std::iota(slots.begin(), slots.end(), 0);
  std::shuffle(slots.begin(), slots.end(), std::mt19937(54));
  std::vector<bf16> pages(size(rows + 30, C + R), bf16(0.5f)), want = pages;
  run_on<op, Ref>({}, {c.data(), k.data(), want.data(), slots.data(), rows, ldc, ldk});
  Side<B> side;
  run_on<op, B>(side.stream(), {side.in(c), side.in(k), side.out(pages), side.in(slots), rows, ldc, ldk});
  Verdict(side.finish()).same(pages, want).template say<B>(std::string_view(op::name()), shape({rows, C, R}));
}

/// Whatever no sequence owns is NaN.
template <class B, int C, int R, int N, int V> void latent_attention(int heads, const std::vector<PagedBatch::Sequence>& seqs) {
  using op = kernels::latent_attention<quant::NoAs<bf16>, bf16, bf16, C, R, N, V>;
  using layout = kernels::LatentLayout<bf16, C + R>;
  PagedBatch batch(seqs, layout::page, 57);
  const int rows = batch.rows(), ldq = heads * (N + R) + 8;
  const auto q = noise<bf16>(size(rows, ldq), 55);
  const auto w = noise<bf16>(size(heads * (N + V), C), 56, 1 / std::sqrt(static_cast<float>(C)));
  std::vector<bf16> pages(layout::elements(static_cast<std::size_t>(batch.pages)), bf16(NAN));
  std::mt19937 generator(58);
  std::normal_distribution<float> normal;
  batch.each_token([&](int page, int token) {
    for (std::size_t i = 0; i < C + R; ++i) pages[layout::at(page * layout::page + token) + i] = bf16(normal(generator));
  });
  std::vector<bf16> o(size(rows, heads * V), bf16(NAN)), want = o;
  const float scale = 1 / std::sqrt(static_cast<float>(N + R));
  run_on<op, Ref>({}, {q.data(), w.data(), nullptr, want.data(), pages.data(), batch.table.data(), batch.first_row.data(),
                       batch.context.data(), rows, batch.seqs(), heads, ldq, batch.longest, scale});
  Side<B> side;
  std::vector<float> scratch(impl<op, B>::scratch_bytes(rows, batch.seqs(), heads) / sizeof(float) + 1, NAN);
  run_on<op, B>(side.stream(), {side.in(q), side.in(w), nullptr, side.out(o), side.in(pages), side.in(batch.table),
                                side.in(batch.first_row), side.in(batch.context), rows, batch.seqs(), heads, ldq, batch.longest,
                                scale, reinterpret_cast<std::byte*>(side.out(scratch))});
  Verdict(side.finish())  // bf16 rounds the absorbed query, probabilities and the sum of rows: as in tests/ops/mla_test.cpp
      .close(o, want, 0.03f, 2 * ulp<bf16>)
      .template say<B>(std::string_view(op::name()), shape({heads}) + " heads, " + shape({batch.seqs(), rows, batch.context[0]}));
}

template <class B> void latents() {
  rope_pairs<B, float>(37, 3, 64);
  rope_pairs<B, bf16>(37, 16, 64);
  rope_pairs<B, bf16>(5, 1, 32);
  latent_write<B, 512, 64>(70, 8);
  latent_write<B, 128, 32>(3, 3);
  const std::vector<PagedBatch::Sequence> decode = {{1, 2}, {1, 16}, {1, 17}, {0, 5}, {1, large ? 4500 : 300}, {1, 33}};
  const std::vector<PagedBatch::Sequence> mixed = {{5, 5}, {1, 60}, {0, 30}, {20, 37}, {1, 3}, {0, 0}, {3, 140}};
  for (int heads : {1, 3, 16, 20}) latent_attention<B, 128, 32, 64, 64>(heads, decode);
  for (int heads : {3, 20}) latent_attention<B, 128, 32, 64, 64>(heads, mixed);
  latent_attention<B, 128, 32, 64, 64>(2, {{70, 70}, {33, large ? 900 : 140}});
  latent_attention<B, 512, 64, 128, 128>(large ? 16 : 2, decode);
  latent_attention<B, 512, 64, 128, 128>(large ? 128 : 3, {{20, 20}, {1, 90}, {4, 50}});
  if (large) latent_attention<B, 512, 64, 128, 128>(128, decode);
}

}  // namespace atom::test
