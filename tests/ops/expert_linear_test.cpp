// The products of all experts at once: bit for bit those of each expert alone, and the methods built on the one and the other.
#include <array>
#include <cstring>
#include <numeric>
#include <random>

#include "atom/model/decoder.hpp"
#include "atom/ops/cpu.hpp"
#include "atom/ops/ref.hpp"

#include "conformance.hpp"
#include "cpu_setting.hpp"

namespace atom {
namespace {

using namespace test;

std::size_t size(int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }

ThreadPool* pool_for(int threads, int in) {
  const auto scratch = kernels::linear_scratch(in);
  ThreadPool* p = pool(threads, scratch.thread);
  p->reserve_shared(scratch.shared);
  return p;
}

/// Memory on cache lines.
class Lines {
 public:
  explicit Lines(std::size_t bytes) : lines_((bytes + 63) / 64) {}
  void* at(std::size_t byte) { return lines_[0].data() + byte; }

 private:
  struct alignas(64) Line : std::array<std::byte, 64> {};
  std::vector<Line> lines_;
};

/// Experts of (out, in), packed for Cpu.
template <class Q, class T> struct Packed {
  using W = typename Q::weight;
  static const quant::WeightLayout& layout() { return impl<kernels::linear<Q, T>, Cpu>::layout(); }
  std::size_t each;
  Lines memory;
  std::vector<float> scale, bias;
  std::vector<kernels::ExpertWeight<W>> table;

  Packed(int experts, int out, int in)
      : each((layout().bytes(out, in) + 63) / 64 * 64),
        memory(each * static_cast<std::size_t>(experts)),
        scale(size(experts, out)),
        bias(noise<float>(size(experts, out), 6)) {
    std::vector<W> rows(size(out, in));
    for (int e = 0; e < experts; ++e) {
      const auto values = noise<float>(rows.size(), static_cast<unsigned>(10 + e), 0.1f);
      for (std::size_t i = 0; i < rows.size(); ++i) {
        if constexpr (quant::Scaled<Q>)
          rows[i] = quant::codec<Q>::encode(values[i], 0.01f);
        else
          rows[i] = W(values[i]);
      }
      void* at = memory.at(each * static_cast<std::size_t>(e));
      layout().put(at, out, in, {rows.data(), in, 0, out});
      const std::size_t first = size(e, out);
      std::fill_n(scale.begin() + static_cast<std::ptrdiff_t>(first), out, 0.01f + 0.001f * static_cast<float>(e));
      table.push_back(
          {static_cast<const W*>(at), quant::Scaled<Q> ? scale.data() + first : nullptr, e % 2 ? bias.data() + first : nullptr});
    }
  }
};

// Blocks of so many rows each, one expert after the other.
std::vector<int> first_of(const std::vector<int>& rows) {
  std::vector<int> first{0};
  for (int n : rows) first.push_back(first.back() + n);
  return first;
}

template <class Q, class T> void expect_equal(const std::vector<int>& rows, int out, int in) {
  using X = quant::input_t<Q, T>;
  const int experts = static_cast<int>(rows.size());
  const auto first = first_of(rows);
  const int all = first.back();
  SCOPED_TRACE(testing::Message() << std::string_view(Q::name()) << " " << experts << " experts, " << all << " rows, " << out
                                  << " x " << in);
  Packed<Q, T> weights(experts, out, in);
  const auto floats = noise<T>(size(all, in), 5);
  std::vector<X> x(floats.size());
  std::vector<float> x_scale(static_cast<std::size_t>(all));
  if constexpr (quant::QuantizesActivations<Q>)
    run_on<kernels::quantize<Q, T>, Ref>({}, {floats.data(), x.data(), x_scale.data(), all, in, in});
  else
    x = floats;
  std::vector<T> y(size(all, out));
  const typename kernels::expert_linear<Q, T>::args args{x.data(),
                                                         quant::QuantizesActivations<Q> ? x_scale.data() : nullptr,
                                                         weights.table.data(),
                                                         first.data(),
                                                         y.data(),
                                                         all,
                                                         out,
                                                         in,
                                                         experts};
  at_every_level([&] {
    std::fill(y.begin(), y.end(), T(-1.0f));
    for (int e = 0; e < experts; ++e)
      run_on<kernels::linear<Q, T>, Cpu>(pool_for(1, in), kernels::expert_linear<Q, T>::block(args, e));
    const auto want = y;
    for (int threads : {1, 2, 3}) {
      std::fill(y.begin(), y.end(), T(-2.0f));
      run_on<kernels::expert_linear<Q, T>, Cpu>(pool_for(threads, in), args);
      EXPECT_TRUE(identical(y, want)) << threads << " threads";
    }
  });
}

template <class T> struct ExpertLinear : testing::Test {};
using Types = testing::Types<float, bf16>;
TYPED_TEST_SUITE(ExpertLinear, Types);

TYPED_TEST(ExpertLinear, EqualsEachExpertAlone) {
  const auto every_scheme = [](const std::vector<int>& rows, int out, int in) {
    expect_equal<quant::No, TypeParam>(rows, out, in);
    expect_equal<quant::NoAs<fp16>, TypeParam>(rows, out, in);
    expect_equal<quant::NoAs<float>, TypeParam>(rows, out, in);
    expect_equal<quant::PerToken<int8>, TypeParam>(rows, out, in);
  };
  every_scheme({0, 1, 6, 0, 4}, 40, 96);
  every_scheme({0, 0, 0}, 33, 32);
  every_scheme({1}, 1, 8);
  every_scheme({1, 0, 1, 1, 0, 0, 1, 1}, 320, 100);
  every_scheme({3, 17, 33, 0, 70, 16, 9}, 100, 130);
  every_scheme({0, 600, 0, 2}, 65, 64);  // more rows than a pass
}

TEST(ExpertLinear, EqualsEachExpertAloneAtRealSizes) {
  expect_equal<quant::No, bf16>({0, 1, 1, 2, 0, 1, 0, 3}, 768, 2048);
  expect_equal<quant::PerToken<int8>, bf16>({1, 0, 5}, 768, 2048);
  std::mt19937 random(3);
  std::vector<int> many(8);
  for (int i = 0; i < 256; ++i) ++many[random() % many.size()];
  expect_equal<quant::No, bf16>(many, 2048, 256);
  expect_equal<quant::No, bf16>({0, 384, 0, 1}, 256, 2048);  // too many rows for one thread to pack
}

// The methods, of a tiny build.
struct tiny_moe {
  static constexpr model::ModelSpec spec{.arch = model::Arch::qwen3_moe, .attn = {.head_dim = 64}, .moe = model::any_moe};
  static constexpr model::Parallel parallel{};
  using backend = Cpu;
  using act = bf16;
  using kv = bf16;
  using quants = model::Quants<quant::No>;
};
using Ctx = model::ModelContext<tiny_moe>;

constexpr int d_model = 64, d_ff = 96, experts = 6, top_k = 2;

/// A method with weights of its own, as the loader would bind them.
template <class Method> struct Bound {
  Method method;
  std::vector<Lines> memory;

  Bound() {
    method.shape(experts);
    model::ParamTable table;
    method.template describe<Ctx>(table, {nullptr, "experts"});
    for (std::size_t i = 0; i < table.size(); ++i) {
      const bool down = table[i].name.find("down_proj") != std::string::npos;
      const int rows = down ? d_model : 2 * d_ff, cols = down ? d_ff : d_model;
      const auto values = noise<bf16>(size(rows, cols), static_cast<unsigned>(i), 0.1f);
      memory.emplace_back(table[i].layout->bytes(rows, cols));
      table[i].layout->put(memory.back().at(0), rows, cols, {values.data(), cols, 0, rows});
      table[i].bind(table[i].param, memory.back().at(0), rows, cols);
    }
  }
  std::vector<bf16> operator()(const std::vector<int>& expert, int rows) const {
    Lines scratch(std::size_t{8} << 20);
    Ctx ctx;
    ctx.stream = pool_for(2, 128);
    ctx.arena = {.base = static_cast<std::byte*>(scratch.at(0)), .capacity = std::size_t{8} << 20};
    auto x = noise<bf16>(size(rows, d_model), 7);
    const auto weight = noise<float>(size(rows, top_k), 8);
    std::vector<bf16> y(x.size());
    method(ctx, Tensor<bf16>{x.data(), rows, d_model}, {expert.data(), weight.data(), top_k}, nullptr,
           Tensor<bf16>{y.data(), rows, d_model});
    return y;
  }
};

TEST(MoeMethods, GroupedEqualsPerExpert) {
  using Expert = model::Expert<tiny_moe>;
  const Bound<moe::Grouped<Expert>> grouped;
  const Bound<moe::PerExpert<Expert>> each;
  for (int rows : {1, 2, 7, 130}) {
    std::vector<int> spread(size(rows, top_k)), one(spread.size());
    for (std::size_t i = 0; i < spread.size(); ++i) {
      spread[i] = static_cast<int>((i + i / 3) % experts);
      one[i] = static_cast<int>(4 + i % top_k);  // all rows meet the same two
    }
    for (const auto& choice : {spread, one}) EXPECT_TRUE(identical(grouped(choice, rows), each(choice, rows))) << rows << " rows";
  }
}

// A backend takes what it has kernels for.
struct Bare {
  using stream = Ref::stream;
};
static_assert(std::same_as<moe::MethodFor<Cpu, bf16, model::Expert<tiny_moe>>, moe::Grouped<model::Expert<tiny_moe>>>);
static_assert(std::same_as<moe::MethodFor<Bare, bf16, model::Expert<tiny_moe>>, moe::PerExpert<model::Expert<tiny_moe>>>);

}  // namespace
}  // namespace atom
