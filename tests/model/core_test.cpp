// The vocabulary everything else is written in: number formats, views, memory, specs and their shares, parameter names, random
// numbers.
#include <bit>
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "atom/dry.hpp"
#include "atom/engine/loader.hpp"
#include "atom/model/qwen3.hpp"
#include "atom/ops/random.hpp"

#include "traced_builds.hpp"

namespace atom {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

float from_bits(std::uint32_t u) { return std::bit_cast<float>(u); }

TEST(Bf16, RoundsToNearestEven) {
  EXPECT_EQ(bf16(1.0f).raw, 0x3f80);
  EXPECT_EQ(bf16(-2.5f).raw, 0xc020);
  EXPECT_EQ(bf16(from_bits(0x3f808000)).raw, 0x3f80);  // tie, even below
  EXPECT_EQ(bf16(from_bits(0x3f818000)).raw, 0x3f82);  // tie, even above
  EXPECT_EQ(bf16(from_bits(0x3f808001)).raw, 0x3f81);
  EXPECT_EQ(bf16(from_bits(0x3f807fff)).raw, 0x3f80);
  EXPECT_EQ(bf16(-0.0f).raw, 0x8000);
}

TEST(Bf16, KeepsWhatIsNotFinite) {
  EXPECT_EQ(bf16(infinity).raw, 0x7f80);
  EXPECT_EQ(bf16(-infinity).raw, 0xff80);
  EXPECT_EQ(bf16(std::numeric_limits<float>::max()).raw, 0x7f80);  // rounds up, to infinity
  EXPECT_EQ(bf16(from_bits(0x7f800001)).raw, 0x7fc0);              // a NaN whose payload rounding would lose
  EXPECT_EQ(bf16(from_bits(0x7fffffff)).raw, 0x7fc0);              // and one it would carry into the sign
}

TEST(Bf16, WideningIsExact) {
  for (std::uint32_t raw = 0; raw < 0x10000; ++raw) {
    bf16 b;
    b.raw = static_cast<std::uint16_t>(raw);
    const auto f = static_cast<float>(b);
    ASSERT_EQ(std::bit_cast<std::uint32_t>(f), raw << 16);
    if (f == f) {
      ASSERT_EQ(bf16(f).raw, raw);
    }
  }
}

/// What binary16 bits mean, from the definition of the format.
double value_of(unsigned raw) {
  const unsigned exponent = raw >> 10 & 31, mantissa = raw & 1023;
  const double size = exponent ? std::ldexp(1 + mantissa / 1024.0, static_cast<int>(exponent) - 15) : std::ldexp(mantissa, -24);
  return raw & 0x8000 ? -size : size;
}

TEST(Fp16, WideningIsExact) {
  for (unsigned raw = 0; raw < 0x10000; ++raw) {
    fp16 h;
    h.raw = static_cast<std::uint16_t>(raw);
    const auto f = static_cast<float>(h);
    if ((raw >> 10 & 31) == 31) {
      ASSERT_TRUE(raw & 1023 ? std::isnan(f) : f == (raw & 0x8000 ? -infinity : infinity)) << raw;
      continue;
    }
    ASSERT_EQ(static_cast<double>(f), value_of(raw)) << raw;
    ASSERT_EQ(std::signbit(f), raw >= 0x8000) << raw;
    ASSERT_EQ(fp16(f).raw, raw);
  }
}

TEST(Fp16, RoundsToNearestEven) {
  // Between every two neighbours: the middle goes to the even one, anything off the middle to the nearer.
  for (unsigned raw = 0; raw < 0x7bff; ++raw) {
    const auto middle = static_cast<float>((value_of(raw) + value_of(raw + 1)) / 2);  // exact in float
    ASSERT_EQ(fp16(middle).raw, raw % 2 ? raw + 1 : raw) << raw;
    ASSERT_EQ(fp16(std::nextafter(middle, 0.0f)).raw, raw) << raw;
    ASSERT_EQ(fp16(std::nextafter(middle, infinity)).raw, raw + 1) << raw;
  }
}

TEST(Fp16, OverflowsToInfinityAndUnderflowsToZero) {
  EXPECT_EQ(fp16(65504.0f).raw, 0x7bff);
  EXPECT_EQ(fp16(from_bits(0x477fefff)).raw, 0x7bff);  // the last float below 65520
  EXPECT_EQ(fp16(65520.0f).raw, 0x7c00);
  EXPECT_EQ(fp16(-1e30f).raw, 0xfc00);
  EXPECT_EQ(fp16(0x1p-25f).raw, 0);  // tie with the smallest subnormal, even is zero
  EXPECT_EQ(fp16(0x1.8p-25f).raw, 1);
  EXPECT_EQ(fp16(-0x1p-30f).raw, 0x8000);
  EXPECT_TRUE(std::isnan(static_cast<float>(fp16(from_bits(0x7f800001)))));
}

TEST(Tensor, StaticExtentsOccupyNothing) {
  static_assert(sizeof(Tensor<float, 3, 4>) <= sizeof(Tensor<float>) && sizeof(Extent<dynamic>) == sizeof(int));
  float x[12] = {};
  const Tensor<float, 3, 4> t(x, 3, 4);
  EXPECT_EQ(t.rows, 3);
  EXPECT_EQ(t.cols, 4);
  EXPECT_EQ(t[2], x + 8);
  static_assert(mul(3, dynamic) == dynamic && add(dynamic, 1) == dynamic && mul(3, 4) == 12 && add(3, 4) == 7);
}

TEST(Tensor, ColumnsKeepTheStride) {
  float x[12] = {};
  const auto view = columns(Tensor<float, 3, 4>(x, 3, 4), 1, 2);
  EXPECT_EQ(view.data, x + 1);
  EXPECT_EQ(view.cols, 2);
  EXPECT_EQ(view.stride, 4);
  EXPECT_EQ(view[2], x + 9);
}

TEST(Arena, FramesReleaseAndThePeakStays) {
  Context<Dry, float> ctx;  // a null base: measured, not touched
  EXPECT_EQ((temp<float>(ctx, 1, 3).data), nullptr);
  EXPECT_EQ(ctx.arena.top, 12u);
  {
    auto f = ctx.frame();
    (void)temp<double>(ctx, 2, 8);
    EXPECT_EQ(ctx.arena.top, 64u + 128u);  // every buffer begins on a cache line
    auto g = ctx.frame();
    (void)temp<char>(ctx, 1, 1);
  }
  EXPECT_EQ(ctx.arena.top, 12u);
  EXPECT_EQ(ctx.arena.peak, 193u);
}

TEST(Arena, HandsOutItsBlock) {
  alignas(64) std::byte memory[256];
  Context<Dry, float> ctx;
  ctx.arena = {memory, sizeof memory};
  const auto first = temp<float>(ctx, 2, 4);
  EXPECT_EQ(static_cast<void*>(first.data), memory);
  {
    auto f = ctx.frame();
    EXPECT_EQ(static_cast<void*>(temp<float>(ctx, 1, 1).data), memory + 64);
  }
  EXPECT_EQ(static_cast<void*>(temp<float>(ctx, 1, 1).data), memory + 64);
}

#if defined(ATOM_CHECKED)
TEST(Arena, PoisonsWhatAFrameReleases) {
  alignas(64) std::byte memory[128];
  Context<Dry, float> ctx;
  ctx.arena = {memory, sizeof memory};
  float* late = nullptr;
  {
    auto f = ctx.frame();
    late = temp<float>(ctx, 1, 1).data;
    *late = 1;
  }
  EXPECT_TRUE(std::isnan(*late));
}
#endif

}  // namespace
}  // namespace atom

namespace atom::model {
namespace {

using traced::llama_8b;

TEST(Share, CoversAnAxisOnce) {
  for (int n : {1, 7, 64, 97, 151936})
    for (int size : {1, 2, 3, 8}) {
      int next = 0;
      for (int r = 0; r < size; ++r) {
        const Share s = share(n, {r, size});
        EXPECT_EQ(s.begin, next);
        EXPECT_GE(s.count, 0);
        next = s.begin + s.count;
      }
      EXPECT_EQ(next, n);
    }
}

TEST(Share, ReplicatesKvHeadsWhenThereAreFewerThanRanks) {
  const int want[] = {0, 0, 1, 1};
  for (int r = 0; r < 4; ++r) {
    EXPECT_EQ(kv_share(2, {r, 4}).begin, want[r]);
    EXPECT_EQ(kv_share(2, {r, 4}).count, 1);
  }
  EXPECT_EQ(kv_share(8, {1, 2}).begin, 4);
  EXPECT_EQ(kv_share(8, {1, 2}).count, 4);
}

TEST(Share, QueryHeadsReadTheKvHeadTheirRankHolds) {
  for (int heads : {4, 8, 32})
    for (int kv_heads = 1; kv_heads <= heads; kv_heads *= 2)
      for (int size = 1; size <= heads; size *= 2)
        for (int r = 0; r < size; ++r) {
          const Share q = share(heads, {r, size}), kv = kv_share(kv_heads, {r, size});
          const int group = heads / kv_heads, local_group = q.count / kv.count;
          for (int h = 0; h < q.count; ++h) EXPECT_EQ((q.begin + h) / group, kv.begin + h / local_group);
        }
}

TEST(Shard, CutsHeadsAndWidthsAndLeavesTheRest) {
  const ModelSpec s = shard(llama_8b, {1, 4});
  EXPECT_EQ(s.attn.heads, 8);
  EXPECT_EQ(s.attn.kv_heads, 2);
  EXPECT_EQ(s.d_ff, 14336 / 4);
  EXPECT_EQ(s.vocab, 128256 / 4);
  EXPECT_EQ(s.d_model, 4096);
  EXPECT_EQ(s.layers, 32);
  EXPECT_EQ(shard(llama_8b, {0, 1}), llama_8b);
}

TEST(Shard, HolesStayHoles) {
  constexpr ModelSpec open{.arch = Arch::llama, .d_model = 64, .attn = {.heads = 4, .head_dim = 128}};
  constexpr ModelSpec cut = shard(open, {0, 2});
  static_assert(cut.d_ff == dynamic && cut.attn.kv_heads == dynamic && cut.attn.heads == 2 && cut.d_model == 64);
  static_assert(shard(open, {0, dynamic}).attn.heads == dynamic);
}

TEST(Admits, AHoleAnythingANumberItself) {
  const ModelSpec open{.arch = Arch::llama, .attn = {.head_dim = 128}};
  EXPECT_TRUE(admits(open, llama_8b));
  EXPECT_TRUE(admits(llama_8b, llama_8b));
  EXPECT_FALSE(admits(llama_8b, open));
  const auto differs = [&](auto change) {
    ModelSpec other = llama_8b;
    change(other);
    return !admits(llama_8b, other);
  };
  EXPECT_TRUE(differs([](ModelSpec& s) { s.arch = Arch::qwen2; }));
  EXPECT_TRUE(differs([](ModelSpec& s) { s.d_model = 1; }));
  EXPECT_TRUE(differs([](ModelSpec& s) { s.d_ff = 1; }));
  EXPECT_TRUE(differs([](ModelSpec& s) { s.vocab = 1; }));
  EXPECT_TRUE(differs([](ModelSpec& s) { s.layers = 1; }));
  EXPECT_TRUE(differs([](ModelSpec& s) { s.attn.heads = 1; }));
  EXPECT_TRUE(differs([](ModelSpec& s) { s.attn.kv_heads = 1; }));
  EXPECT_TRUE(differs([](ModelSpec& s) { s.attn.head_dim = 64; }));
  EXPECT_TRUE(differs([](ModelSpec& s) { s.attn.qk_norm = true; }));
  EXPECT_TRUE(differs([](ModelSpec& s) { s.attn.qkv_bias = 1; }));
  EXPECT_TRUE(differs([](ModelSpec& s) { s.attn.o_bias = 1; }));
  EXPECT_TRUE(differs([](ModelSpec& s) { s.mlp_bias = 1; }));
}

struct two_layers : traced::base {
  static constexpr ModelSpec spec{.arch = Arch::qwen3,
                                  .d_model = 128,
                                  .d_ff = 256,
                                  .vocab = 320,
                                  .layers = 2,
                                  .attn = {.heads = 2, .kv_heads = 1, .head_dim = 128, .qk_norm = true}};
  using quants = Quants<quant::PerToken<int8>>;
};

const ParamRef& named(const ParamTable& table, std::string_view name) {
  for (const auto& p : table)
    if (p.name == name) return p;
  throw std::out_of_range(std::string(name));
}

TEST(Collect, NamesParametersAsCheckpointsDo) {
  Qwen3<two_layers> net(two_layers::spec);
  ParamTable table;
  collect<ModelContext<two_layers>>(net, table);
  std::vector<std::string> names;
  for (const auto& p : table)
    if (p.when == Bias::never) names.push_back(p.name);
  std::vector<std::string> want = {"model.embed_tokens.weight"};
  for (const char* layer : {"model.layers.0.", "model.layers.1."})
    for (const char* leaf :
         {"input_layernorm.weight", "self_attn.qkv_proj.weight", "self_attn.o_proj.weight", "self_attn.q_norm.weight",
          "self_attn.k_norm.weight", "post_attention_layernorm.weight", "mlp.gate_up_proj.weight", "mlp.down_proj.weight"})
      want.push_back(std::string(layer) + leaf);
  want.insert(want.end(), {"model.norm.weight", "lm_head.weight"});
  EXPECT_EQ(names, want);
}

TEST(Collect, SaysAxesCutsAndTypes) {
  Qwen3<two_layers> net(two_layers::spec);
  ParamTable table;
  collect<ModelContext<two_layers>>(net, table);
  const ParamRef& qkv = named(table, "model.layers.1.self_attn.qkv_proj.weight");
  EXPECT_EQ(qkv.rows, Width(512, Axis::q, Axis::kv, Axis::kv));
  EXPECT_EQ(qkv.cols, Width(128, Axis::d_model));
  EXPECT_EQ(qkv.cut, TPDim::col);
  EXPECT_EQ(qkv.dtype, DType::i8);
  EXPECT_NE(qkv.encode, nullptr);
  EXPECT_NE(qkv.scale, nullptr);
  const ParamRef& down = named(table, "model.layers.0.mlp.down_proj.weight");
  EXPECT_EQ(down.cut, TPDim::row);
  EXPECT_EQ(down.cols, Width(256, Axis::d_ff));
  const ParamRef& norm = named(table, "model.layers.0.self_attn.k_norm.weight");
  EXPECT_EQ(norm.rows.parts[0], Axis::head_dim);
  EXPECT_EQ(norm.cut, TPDim::none);
  EXPECT_EQ(norm.dtype, DType::f32);
  const ParamRef& head = named(table, "lm_head.weight");
  EXPECT_EQ(head.dtype, DType::bf16);
  EXPECT_EQ(head.encode, nullptr);
  EXPECT_EQ(named(table, "model.layers.0.self_attn.qkv_proj.bias").when, Bias::qkv);
  EXPECT_EQ(named(table, "model.layers.0.mlp.down_proj.bias").when, Bias::mlp);
}

TEST(Collect, BindsWhatTheForwardPassReads) {
  Qwen3<traced::qwen3_dynamic> net(two_layers::spec);
  ParamTable table;
  collect<ModelContext<traced::qwen3_dynamic>>(net, table);
  engine::bind_shapes(two_layers::spec, {0, 1}, table);
  const auto& layer = boost::hana::at_c<0>(net.model.layers.segments).layers[1];
  EXPECT_EQ(layer.self_attn.qkv_proj.weight.rows, 512);
  EXPECT_EQ(layer.mlp.down_proj.weight.cols, 256);
  EXPECT_EQ(layer.self_attn.q_norm.weight.rows, 128);
}

}  // namespace
}  // namespace atom::model

namespace atom {
namespace {

/// The published known answer that a 64-bit counter can express; our upper two counter words are always zero.
TEST(Philox, KnownAnswerOfZero) {
  const Philox p = Philox::draw(0, 0);
  EXPECT_EQ(p.v[0], 0x6627e8d5u);
  EXPECT_EQ(p.v[1], 0xe169c58du);
  EXPECT_EQ(p.v[2], 0xbc57ac4cu);
  EXPECT_EQ(p.v[3], 0x9b00dbd8u);
}

/// The algorithm from the paper, with all four counter words, checked against the known answer of all ones; then ours against it.
Philox by_definition(const std::uint32_t (&counter)[4], std::uint32_t k0, std::uint32_t k1) {
  std::uint32_t x[4] = {counter[0], counter[1], counter[2], counter[3]};
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t left = std::uint64_t{0xD2511F53} * x[0], right = std::uint64_t{0xCD9E8D57} * x[2];
    const auto high = [](std::uint64_t p) { return static_cast<std::uint32_t>(p >> 32); };
    const std::uint32_t next[] = {high(right) ^ x[1] ^ k0, static_cast<std::uint32_t>(right), high(left) ^ x[3] ^ k1,
                                  static_cast<std::uint32_t>(left)};
    std::memcpy(x, next, sizeof x);
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return {{x[0], x[1], x[2], x[3]}};
}

TEST(Philox, FollowsTheDefinitionInSeedAndCounter) {
  const Philox ones = by_definition({~0u, ~0u, ~0u, ~0u}, ~0u, ~0u);
  EXPECT_EQ(ones.v[0], 0x408f276du);
  EXPECT_EQ(ones.v[1], 0x41c83b0eu);
  EXPECT_EQ(ones.v[2], 0xa20bc7c6u);
  EXPECT_EQ(ones.v[3], 0x6d5451fdu);
  for (std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0x123456789abcdef0}, ~std::uint64_t{0}})
    for (std::uint64_t counter : {std::uint64_t{1}, std::uint64_t{0xffffffff}, std::uint64_t{0x100000000}, ~std::uint64_t{0}}) {
      const auto low = [](std::uint64_t v) { return static_cast<std::uint32_t>(v); };
      const Philox ours = Philox::draw(seed, counter);
      const Philox want = by_definition({low(counter), low(counter >> 32), 0, 0}, low(seed), low(seed >> 32));
      EXPECT_EQ(std::memcmp(ours.v, want.v, sizeof want.v), 0);
    }
}

TEST(Philox, UniformIsInRangeAndEven) {
  double sum = 0;
  int low = 0;
  constexpr int n = 100000;
  for (int i = 0; i < n; ++i) {
    const float u = uniform(7, static_cast<std::uint64_t>(i));
    ASSERT_GE(u, 0.0f);
    ASSERT_LT(u, 1.0f);
    sum += double{u};
    low += u < 0.25f;
  }
  EXPECT_NEAR(sum / n, 0.5, 5 * 0.2887 / std::sqrt(n));
  EXPECT_NEAR(double(low) / n, 0.25, 5 * std::sqrt(0.25 * 0.75 / n));
}

}  // namespace
}  // namespace atom
