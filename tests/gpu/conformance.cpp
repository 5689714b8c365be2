// gpu_conformance: every GPU kernel against Ref, through the door, on the machine it was built for: one line per case, and status 1
// if any failed. Without a GPU it is built for the emulator. --small: sizes for a sanitizer. Emu<32>, Emu<64>:
// one wave alone.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "atom/core/error.hpp"
#include "atom/ops/gpu.hpp"
#include "atom/ops/ref.hpp"

#include "latents.hpp"
#include "mixtures.hpp"
#include "paged_batch.hpp"
#include "verdict.hpp"

namespace atom::test {
namespace {

template <class B, kernels::NormFlags F, class Q, class T> void norm(int rows, int cols, int padding) {
  using op = kernels::rmsnorm<F, Q, T>;
  const int ld = cols + padding;
  const auto x = noise<T>(size(rows, ld), 1), residual = noise<T>(size(rows, cols), 2);
  const auto w = noise<float>(size(1, cols), 3);
  auto h = residual, h_want = residual;
  std::vector<T> y(op::quantizes ? 0 : size(rows, cols), T(NAN)), y_want = y;
  std::vector<int8> q(op::quantizes ? size(rows, cols) : 0), q_want = q;
  std::vector<float> scale(op::quantizes ? size(rows, 1) : 0, NAN), scale_want = scale;
  run_on<op, Ref>({}, {x.data(), F.residual ? h_want.data() : nullptr, w.data(), y_want.data(), q_want.data(), scale_want.data(),
                       rows, cols, ld, 1e-6f});
  Side<B> side;
  run_on<op, B>(side.stream(), {side.in(x), F.residual ? side.out(h) : nullptr, side.in(w), side.out(y), side.out(q),
                                side.out(scale), rows, cols, ld, 1e-6f});
  Verdict v(side.finish());
  std::vector<float> codes(q.begin(), q.end()), codes_want(q_want.begin(), q_want.end());
  v.same(h, h_want)
      .close(y, y_want, 0, 2 * rounding<T>)
      .close(scale, scale_want, 0, 2 * rounding<T>)
      .close(codes, codes_want, 2, 0);
  v.template say<B>(std::string_view(op::name()), shape({rows, cols}) + (padding ? " strided" : ""));
}

template <class B, class Q, class T, class A = activation::Silu> void gate(int rows, int cols, int padding) {
  using op = kernels::gate_mul<A, Q, T>;
  const int ld = 2 * cols + padding;
  const auto x = noise<T>(size(rows, ld), 4, 3);
  std::vector<T> y(op::quantizes ? 0 : size(rows, cols), T(NAN)), y_want = y;
  std::vector<int8> q(op::quantizes ? size(rows, cols) : 0), q_want = q;
  std::vector<float> scale(op::quantizes ? size(rows, 1) : 0, NAN), scale_want = scale;
  run_on<op, Ref>({}, {x.data(), y_want.data(), q_want.data(), scale_want.data(), rows, cols, ld});
  Side<B> side;
  run_on<op, B>(side.stream(), {side.in(x), side.out(y), side.out(q), side.out(scale), rows, cols, ld});
  Verdict v(side.finish());
  std::vector<float> codes(q.begin(), q.end()), codes_want(q_want.begin(), q_want.end());
  v.close(y, y_want, 1e-30f, 2 * rounding<T>).close(scale, scale_want, 0, 2 * rounding<T>).close(codes, codes_want, 2, 0);
  v.template say<B>(std::string_view(op::name()), shape({rows, cols}) + (padding ? " strided" : ""));
}

template <class B, class W, class T> void embed(int rows, int cols) {
  using op = kernels::embed<W, T>;
  constexpr int vocab = 50, first = 20;
  const auto table = noise<W>(size(vocab, cols), 5);
  std::vector<int> tokens;
  for (int r = 0; r < rows; ++r) tokens.push_back(r * 13 % 90);
  std::vector<T> y(size(rows, cols), T(NAN)), want = y;
  run_on<op, Ref>({}, {table.data(), tokens.data(), want.data(), rows, cols, first, vocab});
  Side<B> side;
  run_on<op, B>(side.stream(), {side.in(table), side.in(tokens), side.out(y), rows, cols, first, vocab});
  Verdict(side.finish()).same(y, want).template say<B>(std::string_view(op::name()), shape({rows, cols}));
}

template <class B, class T> void gather(int rows, int cols, int ld) {
  using op = kernels::gather_rows<T>;
  const auto x = noise<T>(size(60, ld), 6);
  std::vector<int> index;
  for (int r = 0; r < rows; ++r) index.push_back(r * 17 % 60);
  std::vector<T> y(size(rows, cols), T(NAN)), want = y;
  run_on<op, Ref>({}, {x.data(), index.data(), want.data(), rows, cols, ld});
  Side<B> side;
  run_on<op, B>(side.stream(), {side.in(x), side.in(index), side.out(y), rows, cols, ld});
  Verdict(side.finish()).same(y, want).template say<B>(std::string_view(op::name()), shape({rows, cols, ld}));
}

// There with tokens of the step before, and back without.
template <class B> void transfer(int n, int rows, int apart) {
  using op = kernels::transfer;
  std::vector<int> drawn(300), carried, from(size(n, 1)), there(size(n + apart, 1), -1), back(from.size(), -1), want = from;
  std::iota(drawn.begin(), drawn.end(), n);
  std::iota(from.begin(), from.end(), 0);
  for (int r = 0; r < rows; ++r) carried.push_back(r % 3 ? r * 17 % 300 : -1);
  run_on<op, Ref>({}, {from.data(), want.data(), n, drawn.data(), carried.data(), rows});
  Side<B> side;
  int* inputs = side.out(there) + apart;
  run_on<op, B>(side.stream(), {side.pinned(from), inputs, n, side.in(drawn), side.pinned(carried), rows});
  run_on<op, B>(side.stream(), {inputs, side.pinned(back), n});
  const std::string fault = side.finish();
  there.erase(there.begin(), there.begin() + apart);
  Verdict(fault).same(there, want).same(back, want).template say<B>(std::string_view(op::name()), shape({n, rows, apart}));
}

template <class B, class T> void join(int rows, int cols) {
  using op = kernels::join_rows<T>;
  const auto left = noise<T>(size(rows, cols), 21), right = noise<T>(size(rows, cols), 22);
  std::vector<T> y(size(rows, 2 * cols), T(NAN)), want = y;
  run_on<op, Ref>({}, {left.data(), right.data(), want.data(), rows, cols});
  Side<B> side;
  run_on<op, B>(side.stream(), {side.in(left), side.in(right), side.out(y), rows, cols});
  Verdict(side.finish()).same(y, want).template say<B>(std::string_view(op::name()), shape({rows, cols}));
}

template <class B, class Y> void linear(int rows, int out, int in, int padding, bool with_bias) {
  using op = kernels::linear<quant::NoAs<bf16>, bf16, Y>;
  const int ldx = in + padding, ldy = out + padding;
  const auto x = noise<bf16>(size(rows, ldx), 7);
  const auto w = noise<bf16>(size(out, in), 8, 1 / std::sqrt(static_cast<float>(in)));
  auto bias = noise<float>(size(1, out), 9);
  for (float& b : bias) b = float(bf16(b));  // as checkpoints hold it
  std::vector<Y> y(size(rows, ldy), Y(-5.0f)), want = y;
  run_on<op, Ref>({},
                  {x.data(), nullptr, w.data(), nullptr, with_bias ? bias.data() : nullptr, want.data(), rows, out, in, ldx, ldy});
  Side<B> side;
  run_on<op, B>(side.stream(), {side.in(x), nullptr, side.in(w), nullptr, with_bias ? side.in(bias) : nullptr, side.out(y), rows,
                                out, in, ldx, ldy});
  Verdict(side.finish())
      .close(y, want, 3e-5f, std::is_same_v<Y, float> ? 1e-5f : 2 * ulp<bf16>)
      .template say<B>(std::string_view(op::name()),
                       shape({rows, out, in}) + (padding ? " strided" : "") + (with_bias ? " + bias" : ""));
}

template <class B, class Tail> void fused_linear(int rows, int out, int in, bool normed, bool with_bias = false) {
  using op = kernels::fused_linear<quant::NoAs<bf16>, bf16, Tail>;
  const int ldx = in + 8, cols = std::is_same_v<Tail, kernels::Gate<activation::Silu>> ? out / 2 : out,
            ldy = cols + (rows == 5 ? 3 : 4);  // 3: vectors do not reach its rows
  const auto x = noise<bf16>(size(rows, ldx), 7, 3), w = noise<bf16>(size(out, in), 8, 1 / std::sqrt(static_cast<float>(in)));
  const auto bias = noise<float>(size(1, out), 9), weight = noise<float>(size(1, in), 10);
  auto y = noise<bf16>(size(rows, ldy), 11), want = y;
  const auto args = [&](const bf16* x_at, const bf16* w_at, const float* b, bf16* y_at, const float* n) {
    return typename op::args{
        {x_at, nullptr, w_at, nullptr, with_bias ? b : nullptr, y_at, rows, out, in, ldx, ldy}, normed ? n : nullptr, 1e-6f};
  };
  run_on<op, Ref>({}, args(x.data(), w.data(), bias.data(), want.data(), weight.data()));
  Side<B> side;
  const auto a = args(side.in(x), side.in(w), side.in(bias), side.out(y), side.in(weight));
  const bool takes = impl<op, B>::takes(a);
  if (takes) run_on<op, B>(side.stream(), a);
  // A sum, or an x of all of them, rounded the other way; and of very many gates, those that make it several times as large.
  const bool other_way = normed || std::is_same_v<Tail, kernels::Add> || size(rows, out) > 500'000;
  Verdict(takes ? side.finish() : side.finish() + "refused")
      .close(y, want, other_way ? 0.02f : 3e-5f, 4 * ulp<bf16>)
      .template say<B>(std::string_view(op::name()),
                       shape({rows, out, in}) + (normed ? " normed" : "") + (with_bias ? " + bias" : ""));
}

// Logits, and each row's best of exactly those: with a tie between blocks, a NaN in every row, and a row of nothing else.
template <class B> void best_linear(int rows, int out, int in, bool with_bias = false) {
  using op = kernels::fused_linear<quant::NoAs<bf16>, bf16, kernels::Best>;
  const int ldx = in + 8, ldy = out + (rows > 8 ? 4 : 3);
  auto x = noise<bf16>(size(rows, ldx), 7), w = noise<bf16>(size(out, in), 8, 1 / std::sqrt(static_cast<float>(in)));
  const auto row_of = [&](auto& m, int row, int width) { return m.begin() + static_cast<std::ptrdiff_t>(size(row, width)); };
  for (int o : {out / 3, out - 2}) std::copy_n(x.begin(), in, row_of(w, o, in));
  std::fill_n(row_of(w, out - 1, in), in, bf16(NAN));
  if (rows > 1) std::fill_n(row_of(x, rows - 1, ldx), in, bf16(NAN));
  auto bias = noise<float>(size(1, out), 9);
  bias[static_cast<std::size_t>(out - 2)] = bias[static_cast<std::size_t>(out / 3)];
  auto y = noise<float>(size(rows, ldy), 11), want = y;
  std::vector<std::uint64_t> best(size(rows, 1)), unused = best;
  if (rows > 2) best[1] = kernels::BestToken::of(1e9f, 3);  // somebody found better
  auto want_best = best;
  const auto args = [&](const bf16* x_at, const bf16* w_at, const float* b, float* y_at, std::uint64_t* best_at) {
    return typename op::args{
        {x_at, nullptr, w_at, nullptr, with_bias ? b : nullptr, y_at, rows, out, in, ldx, ldy}, nullptr, 0, best_at};
  };
  run_on<op, Ref>({}, args(x.data(), w.data(), bias.data(), want.data(), unused.data()));
  Side<B> side;
  const auto a = args(side.in(x), side.in(w), side.in(bias), side.out(y), side.out(best));
  const bool takes = impl<op, B>::takes(a);
  if (takes) run_on<op, B>(side.stream(), a);
  Verdict v(takes ? side.finish() : side.finish() + "refused");
  run_on<kernels::best_tokens, Ref>({}, {y.data(), want_best.data(), rows, out, ldy});
  const bool first = kernels::BestToken::token(best[0]) == out / 3 && (rows == 1 || best.back() == 0);
  v.close(y, want, 1e-4f, 1e-5f).same(best, want_best).same(std::vector<int>{first}, {1});
  v.template say<B>(std::string_view(op::name()), shape({rows, out, in}) + (with_bias ? " + bias" : ""));
}

template <class B, class T, class Kv, int D, bool Norm> void rope_kv_write(int rows, int heads, int kv_heads, int rotary_dim) {
  using op = kernels::rope_kv_write<T, Kv, D, kernels::RopeFlags{.qk_norm = Norm}>;
  using layout = kernels::KvLayout<Kv, D>;
  constexpr int positions = 50;
  const int ld = (heads + 2 * kv_heads) * D + 16, pages = rows / layout::page + 2;
  auto x = noise<T>(size(rows, ld), 10, 3);
  auto want = x;
  const auto q_norm = noise<float>(D, 11), k_norm = noise<float>(D, 12);
  auto table = noise<float>(size(positions, rotary_dim), 13, 10);
  for (int p = 0; p < positions; ++p)
    for (int i = 0; i < rotary_dim / 2; ++i) {
      float* at = table.data() + p * rotary_dim + i;
      const float angle = *at;
      at[0] = std::cos(angle);
      at[rotary_dim / 2] = std::sin(angle);
    }
  std::vector<int> at, slots(size(pages, layout::page)), arrivals(size(rows, kv_heads), 7), none(arrivals.size());
  for (int r = 0; r < rows; ++r) at.push_back(r * 7 % positions);
  std::iota(slots.begin(), slots.end(), 0);
  std::shuffle(slots.begin(), slots.end(), std::mt19937(15));
  std::vector<typename layout::element> k(layout::elements(static_cast<std::size_t>(pages), kv_heads)), v = k, k_want = k,
                                                                                                        v_want = k;
  const auto args = [&](T* qkv, const int* position, const float* angles, const float* qn, const float* kn, auto* keys,
                        auto* values, const int* slot, int* arrived) {
    return typename op::args{{qkv, position, angles, qn, kn, rows, heads, kv_heads, ld, rotary_dim, 1e-6f},
                             {qkv + heads * D, qkv + (heads + kv_heads) * D, keys, values, slot, rows, kv_heads, ld, arrived}};
  };
  run_on<op, Ref>({}, args(want.data(), at.data(), table.data(), q_norm.data(), k_norm.data(), k_want.data(), v_want.data(),
                           slots.data(), nullptr));
  Side<B> side;
  run_on<op, B>(side.stream(), args(side.out(x), side.in(at), side.in(table), side.in(q_norm), side.in(k_norm), side.out(k),
                                    side.out(v), side.in(slots), side.out(arrivals)));
  const std::string fault = side.finish();
  for (int r = 0; r < rows; ++r)  // of k and v, qkv may hold anything
    std::copy_n(want.begin() + r * ld + heads * D, 2 * kv_heads * D, x.begin() + r * ld + heads * D);
  const auto rows_of = [&](const auto& cache) {  // what its elements stand for
    std::vector<float> y;
    for (int page = 0; page < pages; ++page)
      for (int h = 0; h < kv_heads; ++h)
        for (int t = 0; t < layout::page; ++t)
          for (std::size_t i = 0; i < D; ++i) {
            y.push_back(static_cast<float>(cache[layout::at(page, h, t, kv_heads) + i]));
            if constexpr (kernels::has_scales<Kv>) y.back() *= *layout::scale(cache.data(), page, h, t, kv_heads);
          }
    return y;
  };
  const float off = Norm ? 16 * ulp<T> : 2e-6f;
  Verdict verdict(fault);
  verdict.close(x, want, off, 2 * ulp<T>).close(rows_of(v), rows_of(v_want), 0, 0).same(arrivals, none);
  if constexpr (kernels::has_scales<Kv>)
    verdict.close(rows_of(k), rows_of(k_want), 0.2f, 0.13f);  // the next code
  else
    verdict.close(rows_of(k), rows_of(k_want), off, 2 * std::max(ulp<T>, ulp<Kv>));
  verdict.template say<B>(std::string_view(op::name()), shape({rows, heads, kv_heads, rotary_dim}));
}

constexpr kernels::AttnFlags all_keys{}, windowed{.window = true, .sinks = true};
template <class B, class T, class Kv, int D, kernels::AttnFlags F = all_keys>
void attention(int heads, int kv_heads, const std::vector<PagedBatch::Sequence>& seqs, bool split = false, int window = 0,
               int padding = 0) {
  using op = kernels::paged_attention<T, Kv, D, F>;
  using layout = kernels::KvLayout<Kv, D>;
  PagedBatch batch(seqs, layout::page, 17);
  const int rows = batch.rows(), ldq = (heads + 2 * kv_heads) * D + padding;
  const auto q = noise<T>(size(rows, ldq), 16);
  std::vector<typename layout::element> k(layout::elements(static_cast<std::size_t>(batch.pages), kv_heads)), v;
  std::memset(static_cast<void*>(k.data()), 0xff, k.size() * sizeof k[0]);  // what nobody owns is NaN, or has a scale that is
  v = k;
  std::mt19937 generator(18);
  std::normal_distribution<float> normal;
  batch.each_token([&](int page, int token) {
    for (int h = 0; h < kv_heads; ++h) {
      float key[D], value[D];
      for (int i = 0; i < D; ++i) key[i] = normal(generator), value[i] = normal(generator);
      put_row<Kv>(key, k, page, h, token, kv_heads);
      put_row<Kv>(value, v, page, h, token, kv_heads);
    }
  });
  std::vector<T> o(size(rows, heads * D), T(NAN)), want = o;
  typename op::args a{q.data(),
                      want.data(),
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
  a.window = window;
  const auto sinks = noise<float>(size(heads, 1), 20, 3);
  if (F.sinks) a.sinks = sinks.data();
  run_on<op, Ref>({}, a);
  Side<B> side;
  if (F.sinks) a.sinks = side.in(sinks);
  a.q = side.in(q), a.o = side.out(o), a.k_pages = side.in(k), a.v_pages = side.in(v), a.block_table = side.in(batch.table);
  a.first_row = side.in(batch.first_row), a.context = side.in(batch.context);
  std::vector<float> partials(
      split ? size(a.seqs, heads * kernels::attention_splits(kv_heads)) * size(kernels::partial_width(D), 1) : 0, NAN);
  std::vector<int> arrivals(split ? size(rows, kv_heads) : 0);
  if (split) a.partials = side.out(partials), a.arrivals = side.out(arrivals);
  run_on<op, B>(side.stream(), a);
  Verdict(side.finish())  // bf16 probabilities: as in tests/ops/attention_test.cpp
      .close(o, want, std::is_same_v<T, bf16> ? 0.01f : 2e-5f, 2 * ulp<T>)
      .template say<B>(std::string_view(op::name()), shape({heads, kv_heads}) + " heads, " +
                                                         shape({batch.seqs(), rows, batch.context[0]}) + (split ? " split" : "") +
                                                         (window ? " window" : "") + (padding ? " strided" : ""));
}

template <class B> void sample(int rows, int vocab, kernels::SampleParams p) {
  using op = kernels::sample;
  const auto logits = noise<float>(size(rows, vocab + 3), 18, 2);
  std::vector<kernels::SampleParams> params(size(rows, 1), p);
  for (std::size_t r = 0; r < params.size(); ++r) params[r].counter = r;
  std::vector<float> sorted(size(rows, vocab));
  std::vector<int> order(sorted.size()), tokens(params.size(), -1), want = tokens;
  run_on<op, Ref>({}, {logits.data(), params.data(), sorted.data(), order.data(), want.data(), rows, vocab, vocab + 3});
  Side<B> side;
  const auto* there = p.temperature == 0 ? nullptr : side.in(params);
  run_on<op, B>(side.stream(),
                {side.in(logits), there, nullptr, side.out(order), side.out(tokens), rows, vocab, vocab + 3, p.temperature == 0});
  std::vector<std::uint64_t> best(params.size());
  std::vector<int> known(params.size(), -1);
  std::uint64_t* const best_there = side.out(best);
  run_on<kernels::best_tokens, B>(side.stream(), {side.in(logits), best_there, rows, vocab, vocab + 3});
  run_on<op, B>(side.stream(), {side.in(logits), there, nullptr, side.out(order), side.out(known), rows, vocab, vocab + 3,
                                p.temperature == 0, best_there});
  Verdict(side.finish()).same(tokens, want).same(known, want).template say<B>(std::string_view(op::name()), shape({rows, vocab}));
}

template <class B> void everything() {
  using quant::Keep;
  using Int8 = quant::PerToken<int8>;
  using Fp8 = quant::PerToken<fp8_e4m3>;
  constexpr kernels::NormFlags plain{}, fused{.residual = true}, once{.residual = true, .once = true};
  const int many = large ? 300 : 5;
  for (int cols : {1, 100, 1024, large ? 8192 : 2048}) {
    norm<B, plain, Keep, bf16>(many, cols, 0);
    norm<B, plain, Keep, float>(3, cols, 5);
    norm<B, fused, Keep, bf16>(many, cols, 8);
    norm<B, fused, Keep, float>(3, cols, 0);
    norm<B, plain, Int8, bf16>(3, cols, 8);
    norm<B, plain, Int8, float>(3, cols, 8);
    norm<B, fused, Int8, bf16>(many, cols, 0);
    norm<B, fused, Int8, float>(3, cols, 3);
    gate<B, Keep, bf16>(many, cols, 0);
    gate<B, Keep, float>(3, cols, 5);
    gate<B, Int8, bf16>(many, cols, 8);
    gate<B, Int8, float>(3, cols, 0);
    gate<B, Keep, bf16, activation::ClampedSwiglu>(many, cols, 8);
    gate<B, Keep, float, activation::ClampedSwiglu>(3, cols, 5);
    join<B, float>(3, cols);
    join<B, bf16>(many, cols);
    norm<B, once, Keep, bf16>(many, cols, 8);
    embed<B, float, float>(7, cols);
    embed<B, bf16, float>(7, cols);
    embed<B, fp16, float>(7, cols);
    embed<B, float, bf16>(7, cols);
    embed<B, bf16, bf16>(many, cols);
    embed<B, fp16, bf16>(7, cols);
    gather<B, float>(9, cols, cols + 3);
    gather<B, bf16>(9, cols, cols + 8);
  }
  for (int n : {1, 600, 5003, large ? 300000 : 9000})
    for (int apart : {0, 1}) transfer<B>(n, n == 1 ? 0 : 600, apart);
  with_each_gemm([&] {
    for (int rows : {1, 3, 16, 17, large ? 200 : 65})
      for (bool bias : {false, true}) {
        linear<B, bf16>(rows, large ? 1024 : 48, large ? 3072 : 1088, 0, bias);
        linear<B, float>(rows, large ? 1000 : 50, 544, 8, bias);
        linear<B, bf16>(rows, 33, 77, 3, bias);
        linear<B, float>(rows, 70, 136, 0, bias);
        linear<B, bf16>(rows, 1, 1, 0, bias);
      }
    for (int rows : {1, 8, 9, 16, 17, 32, 33, 64}) {
      linear<B, bf16>(rows, 2148, large ? (rows > 32 ? 992 : 1088) : 96, 4, rows == 9);
      if (large || rows == 16 || rows == 32)
        for (int out : {4260, 6340}) linear<B, bf16>(rows, out, large ? 544 : 32, 0, rows == 32);  // 6340: blocks take turns
      if (large || rows == 9 || rows == 17) linear<B, float>(rows, large ? 6340 : 2148, large ? 544 : 32, 8, rows == 17);
    }
    for (int rows : {33, 64}) linear<B, float>(rows, 18248, large ? 544 : 32, 0, rows == 33);
    for (int out : {100, 2148, 4260, 6340}) linear<B, bf16>(out == 100 ? 50 : 64, out, large ? 4128 : 544, 8, out == 4260);
    linear<B, bf16>(16, 2050, 32, 0, false);  // rows that vectors do not reach
    linear<B, bf16>(32, 52, 1088, 0, true);
  });
  using Silu = kernels::Gate<activation::Silu>;
  for (int rows : {1, 2, 3, 4}) fused_linear<B, kernels::Write>(rows, 72, 2048, true, rows == 3);
  fused_linear<B, kernels::Write>(1, 40, 8192, true);
  fused_linear<B, kernels::Write>(2, 33, 32, true);
  for (int rows : {1, 5, 8}) {
    fused_linear<B, Silu>(rows, 200, 512, false, rows == 1);
    fused_linear<B, kernels::Add>(rows, 100, 96, false, rows == 5);
  }
  fused_linear<B, Silu>(1, large ? 24576 : 48, 4096, false);
  fused_linear<B, Silu>(5, 4096 + 48, 64, false);
  for (int rows : {9, 16, 17, 32, 33, 64}) fused_linear<B, Silu>(rows, 72, rows == 16 ? 1024 : 160, false, rows == 9 || rows == 33);
  for (int rows : {1, 9, 16, 17, 32})
    fused_linear<B, kernels::Add>(rows, rows == 17 ? 100 : 2148, rows == 9 ? 1056 : 96, false, rows == 32);
  fused_linear<B, Silu>(17, large ? 6152 : 104, 1088, false, true);
  for (int rows : {17, 33, 64}) fused_linear<B, Silu>(rows, 18248, large ? 1088 : 32, false, rows == 33);
  for (int in : {64, 1024}) fused_linear<B, kernels::Add>(16, 72, in, false);
  for (int rows : {11, 18}) fused_linear<B, kernels::Add>(rows, rows == 11 ? 6340 : 4260, large ? 544 : 32, false, rows == 18);
  const bool streams = gpu::streamed<B>(64, 2148);  // else more rows are not joined
  for (int out : {100, 2148, 4260, 6340})
    if (streams) fused_linear<B, kernels::Add>(out == 4260 ? 40 : 64, out, large ? 4128 : 544, false, out == 100);
  for (int rows : {1, 7, 8}) best_linear<B>(rows, rows == 7 ? 77 : 2148, large ? 1088 : 96, rows == 7);
  for (const auto& [rows, out] : {std::pair{1, 6340}, {8, 6340}, {9, 6340}, {16, 100}, {17, 4260}, {32, 2148}, {40, 2148}})
    best_linear<B>(rows, out, large ? 544 : 64, rows == 9);
  for (const auto& [rows, out] : {std::pair{57, 4260}, {64, 100}})
    if (streams) best_linear<B>(rows, out, large ? 544 : 64);
  for (int rows : {33, 64}) best_linear<B>(rows, large ? 151936 : 18248, large ? 1088 : 32, rows == 64);
  rope_kv_write<B, bf16, bf16, 128, false>(large ? 100 : 5, 14, 2, 128);
  rope_kv_write<B, bf16, bf16, 128, true>(large ? 100 : 5, 16, 8, 128);
  rope_kv_write<B, bf16, bf16, 64, false>(9, 4, 2, 24);
  rope_kv_write<B, bf16, Int8, 64, true>(9, 4, 2, 64);
  rope_kv_write<B, bf16, Int8, 128, false>(37, 8, 8, 128);
  rope_kv_write<B, bf16, Fp8, 64, false>(37, 4, 1, 64);
  rope_kv_write<B, bf16, Fp8, 128, true>(37, 10, 5, 128);
  rope_kv_write<B, float, float, 64, false>(9, 4, 2, 50);
  rope_kv_write<B, float, bf16, 128, true>(9, 3, 1, 32);
  for (int vocab : {1, 17, large ? 151936 : 400}) {
    const int rows = large ? 16 : 3;
    sample<B>(rows, vocab, {.temperature = 0});
    sample<B>(rows, vocab, {.temperature = 1});
    sample<B>(rows, vocab, {.temperature = 0.7f, .top_k = 20, .top_p = 0.9f});
    sample<B>(rows, vocab, {.temperature = 1, .top_p = 0.5f, .min_p = 0.01f, .seed = 3});
    sample<B>(rows, vocab, {.temperature = 1, .top_k = 1});
    sample<B>(rows, vocab, {.temperature = 1, .top_p = 1e-6f});
    sample<B>(rows, vocab, {.temperature = 6, .top_k = 5000, .top_p = 0.9f});
    sample<B>(rows, vocab, {.temperature = 100, .top_p = 0.9f, .min_p = 0.9f});
  }
  const std::vector<PagedBatch::Sequence> decode = {{1, 1}, {1, 7}, {0, 0}, {1, 16}, {1, 17}, {1, large ? 1200 : 150},
                                                    {0, 3}, {1, 33}};
  const std::vector<PagedBatch::Sequence> mixed = {{5, 5}, {1, 60}, {0, 30}, {20, 37}, {1, 3}, {0, 0}};
  std::vector<PagedBatch::Sequence> alone(large ? 16 : 1, {1, large ? 1100 : 150});  // a block for each multiprocessor
  alone.back() = {1, large ? 5000 : 300};
  const std::vector<PagedBatch::Sequence> prefill = {{large ? 700 : 70, large ? 700 : 70}, {33, large ? 2000 : 140}};
  for (int group : {1, 2, 4, 5, 16}) {
    for (bool split : {false, true}) {
      attention<B, bf16, bf16, 128>(2 * group, 2, decode, split);
      attention<B, bf16, bf16, 64>(2 * group, 2, decode, split);
      attention<B, bf16, bf16, 128>(2 * group, 2, mixed, split);
      attention<B, bf16, bf16, 64>(group, 1, mixed, split);
      attention<B, bf16, bf16, 128>(group, 1, prefill, split);
      for (int window : {5, 40}) {
        attention<B, bf16, bf16, 128, windowed>(group, 1, prefill, split, window);
        attention<B, bf16, bf16, 64, windowed>(2 * group, 2, mixed, split, window);
        attention<B, bf16, bf16, 128, windowed>(2 * group, 2, decode, split, window * 20);
      }
    }
    attention<B, bf16, Fp8, 128>(2 * group, 2, decode, true);
    attention<B, bf16, Fp8, 128, windowed>(2 * group, 2, mixed, true, 40);
    attention<B, bf16, Fp8, 64, windowed>(2 * group, 2, decode, true, 100);
    attention<B, bf16, Int8, 128>(group, 1, decode, true);
    attention<B, bf16, Int8, 64>(2 * group, 2, decode, true);
    attention<B, bf16, Int8, 64>(group, 1, mixed, true);
    attention<B, float, float, 64>(2 * group, 2, mixed);
    attention<B, float, bf16, 128>(group, 1, mixed);
    attention<B, float, bf16, 64, windowed>(group, 1, mixed, false, 20);
  }
  attention<B, bf16, bf16, 128>(large ? 32 : 8, large ? 8 : 2, alone, true);
  attention<B, bf16, bf16, 128, windowed>(large ? 72 : 18, large ? 8 : 2, alone, true, 250);
  attention<B, bf16, Int8, 128>(2, 1, prefill);
  attention<B, bf16, Fp8, 64>(8, 2, prefill);
  attention<B, bf16, Int8, 128>(6, 2, mixed, true, 0, 3);  // queries that are not aligned: a block per row
  attention<B, bf16, Fp8, 64, windowed>(20, 2, mixed, true, 20, 3);
  mixtures<B>();
  latents<B>();
}

}  // namespace
}  // namespace atom::test

int main(int argc, char** argv) try {
  atom::test::require_device();
  const std::string_view wish = argc == 2 ? argv[1] : "";
  if (wish == "--small") atom::test::large = false;
  const auto run = [&]<class B>(B) {
    if (!wish.starts_with("Emu") || wish == atom::test::name_of_backend<B>()) atom::test::everything<B>();
  };
  [&]<class... B>(std::tuple<B...>*) { (run(B{}), ...); }(static_cast<atom::test::Backends*>(nullptr));
  std::printf("%d failed\n", atom::test::failures);
  return atom::test::failures != 0;
} catch (const atom::Error& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
