// The products of all experts at once: bit for bit those of each expert alone, and the methods built on the one and the other.
#include <random>

#include "atom/ops/ref.hpp"

#include "conformance.hpp"
#include "mixture.hpp"

namespace atom {
namespace {

using namespace test;

std::size_t size(int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }

ThreadPool* pool_for(int threads, int in) { return linear_pool(pool(threads), in); }

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
  std::vector<float> x_scale(static_cast<std::size_t>(all) + 1);  // not null without rows
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

using Build = tiny_moe<bf16, quant::No, model::Parallel{}>;
using Expert = model::Expert<Build>;
using Sharing = tiny_moe<bf16, quant::No, model::Parallel{.tp = dynamic, .ep = dynamic}>;

TEST(MoeMethods, GroupedEqualsPerExpert) {
  const MixtureShape shape{.experts = 6, .top_k = 2};
  const Mixture<Build, moe::Grouped<Expert>> grouped(shape);
  const Mixture<Build, moe::PerExpert<Expert>> each(shape);
  for (int rows : {1, 2, 7, 130}) {
    const auto x = noise<bf16>(size(rows, shape.d_model), 7);
    const auto weight = noise<float>(size(rows, shape.top_k), 8);
    std::vector<int> spread(size(rows, shape.top_k)), one(spread.size());
    for (std::size_t i = 0; i < spread.size(); ++i) {
      spread[i] = static_cast<int>((i + i / 3) % 6);
      one[i] = static_cast<int>(4 + i % 2);  // all rows meet the same two
    }
    for (const auto& choice : {spread, one})
      EXPECT_TRUE(
          identical(grouped.run(pool(2), nullptr, {}, x, choice, weight), each.run(pool(2), nullptr, {}, x, choice, weight)))
          << rows << " rows";
  }
}

// One expert for each row, by a router that gives every expert its turn: weighing the input is weighing x oneself, whoever owns the
// experts; and it shows, for an expert is no linear function.
TEST(MoeWeighs, InputsOrOutputs) {
  const MixtureShape shape{.experts = 6, .top_k = 1};
  const Mixture<Build, moe::Grouped<Expert>> alone(shape);
  const Mixture<Sharing, moe::ExpertParallel<moe::Grouped<model::Expert<Sharing>>>> shared_out(shape);
  const auto router = [](auto&, const auto& x, Tensor<float> logits) {
    for (int r = 0; r < x.rows; ++r)
      for (int e = 0; e < logits.cols; ++e)
        logits.data[r * logits.cols + e] = e == r % logits.cols ? 0.1f * static_cast<float>(r % 7) : -1.0f;
  };
  const int rows = 9;
  const auto x = noise<bf16>(size(rows, shape.d_model), 7);
  using Rule = moe::TopK<moe::Sigmoid>;
  ThreadComm none;
  const auto got = alone.mix<Rule, moe::Inputs>(pool(2), &none, {}, x, router);
  auto weighed = x;
  std::vector<int> chosen;
  for (int r = 0; r < rows; ++r) {
    chosen.push_back(r % shape.experts);
    const float weight = moe::Sigmoid::of(0.1f * static_cast<float>(r % 7));
    for (int c = 0; c < shape.d_model; ++c) {
      bf16& at = weighed[size(r, shape.d_model) + static_cast<std::size_t>(c)];
      at = bf16(weight * static_cast<float>(at));
    }
  }
  EXPECT_TRUE(identical(got, alone.run(pool(2), &none, {}, weighed, chosen, std::vector<float>(chosen.size(), 1.0f))));
  EXPECT_FALSE(identical(got, alone.mix<Rule, moe::Outputs>(pool(2), &none, {}, x, router)));
  every_rank(3, [&](int r, ThreadComm& comm) {
    ThreadPool mine(1);
    EXPECT_TRUE(identical(shared_out.mix<Rule, moe::Inputs>(&mine, &comm, {r, 3, 3}, x, router), got)) << "rank " << r;
  });
}

TEST(MoeWeighs, InputsAreOfOneExpertPerRow) {
  EXPECT_NO_THROW(moe::check_weighed<moe::Outputs>({.moe = {.experts = 8, .top_k = 2}}));
  EXPECT_NO_THROW(moe::check_weighed<moe::Inputs>({.moe = {.experts = 8, .top_k = 1}}));
  try {
    moe::check_weighed<moe::Inputs>({.moe = {.experts = 8, .top_k = 2}});
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string_view(e.what()).find("num_experts_per_tok: 2 experts of a row would each want an input of their own"),
              std::string_view::npos);
  }
}

// A backend takes what it has kernels for.
struct Bare {
  using stream = Ref::stream;
};
static_assert(std::same_as<moe::MethodFor<Cpu, bf16, Expert>, moe::Grouped<Expert>>);
static_assert(std::same_as<moe::MethodFor<Bare, bf16, Expert>, moe::PerExpert<Expert>>);

}  // namespace
}  // namespace atom
