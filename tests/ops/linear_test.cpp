// linear and quantize on Cpu, at every ISA level of this machine, and linear on Emu, against Ref.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "atom/core/cpu_features.hpp"
#include "atom/ops/linear_cpu.hpp"
#include "atom/ops/linear_gpu.hpp"
#include "atom/ops/linear_ref.hpp"

#include "conformance.hpp"
#include "emu_setting.hpp"

namespace atom {
namespace {

using test::close;
using test::identical;

constexpr float untouched = -12345.0f;  // what padding of y holds; exact in bf16

/// Every level up to the machine's, and back to where it was.
template <class F> void at_every_isa(F&& f) {
  const cpu::Isa before = cpu::isa();
  for (auto level : {cpu::Isa::avx2, cpu::Isa::avx512, cpu::Isa::avx512_bf16, cpu::Isa::amx}) {
    if (level > cpu::detect()) break;
    cpu::set_isa(level);
    SCOPED_TRACE(std::string(cpu::name_of(level)));
    f();
  }
  cpu::set_isa(before);
}

struct Aligned {
  void operator()(void* p) const { ::operator delete (p, std::align_val_t{64}); }
};
using Packed = std::unique_ptr<void, Aligned>;

Packed zeroed(const quant::WeightLayout& layout, int out, int in) {
  const std::size_t bytes = layout.bytes(out, in);
  Packed p(::operator new (bytes, std::align_val_t{64}));
  std::memset(p.get(), 0, bytes);
  return p;
}

template <class W> Packed pack(const quant::WeightLayout& layout, const std::vector<W>& w, int out, int in, int piece = 1 << 30) {
  Packed p = zeroed(layout, out, in);
  for (int first = 0; first < out; first += std::min(piece, out))
    layout.put(p.get(), out, in, {w.data() + std::ptrdiff_t{first} * in, in, first, std::min(std::min(piece, out), out - first)});
  return p;
}

template <class T> std::vector<T> random_values(std::size_t n, unsigned seed, float scale) {
  if constexpr (!std::same_as<T, int8>) {
    return test::noise<T>(n, seed, scale);
  } else {
    std::mt19937 generator(seed);
    std::vector<int8> v(n);
    for (auto& x : v) x = static_cast<int8>(static_cast<int>(generator() % 255) - 127);
    return v;
  }
}

template <class T> constexpr T poison() {  // must never be read
  if constexpr (std::same_as<T, int8>)
    return 101;
  else
    return T(std::numeric_limits<float>::quiet_NaN());
}

template <class Q_, class T_, class Y_> struct Types {
  using Q = Q_;
  using T = T_;
  using Y = Y_;
};

// One product, with everything a caller may do: unaligned x, strides beyond the extents, bias.
template <class Types> struct Problem {
  using Key = kernels::linear<typename Types::Q, typename Types::T, typename Types::Y>;
  using X = typename Key::input;
  using W = typename Types::Q::weight;
  using Y = typename Types::Y;
  static constexpr bool scaled = quant::Scaled<typename Types::Q>;

  int rows, out, in, ldx = in + 3, ldy = out + 5;
  bool with_bias;
  std::vector<X> x = std::vector<X>(static_cast<std::size_t>(rows) * static_cast<std::size_t>(ldx) + 1, poison<X>());
  std::vector<W> w =
      random_values<W>(static_cast<std::size_t>(out) * static_cast<std::size_t>(in), 2, 1 / std::sqrt(static_cast<float>(in)));
  std::vector<float> bias = test::noise<float>(static_cast<std::size_t>(out), 3);
  std::vector<float> x_scale = test::noise<float>(static_cast<std::size_t>(rows), 4, 0.01f);
  std::vector<float> w_scale = test::noise<float>(static_cast<std::size_t>(out), 5, 0.01f);

  Problem(int r, int o, int i, bool b) : rows(r), out(o), in(i), with_bias(b) {
    const auto values = random_values<X>(static_cast<std::size_t>(rows) * static_cast<std::size_t>(in), 1, 1);
    for (int row = 0; row < rows; ++row)
      std::copy_n(values.begin() + std::ptrdiff_t{row} * in, in, x.begin() + 1 + std::ptrdiff_t{row} * ldx);
    if constexpr (std::same_as<W, int8>) w[0] = -128;  // a checkpoint may hold it
  }

  /// The first `n` rows of y, padding included. `stored` is w as the backend wants it.
  template <class B> std::vector<Y> run(typename B::stream s, const W* stored, int n) const {
    std::vector<Y> y(static_cast<std::size_t>(n) * static_cast<std::size_t>(ldy), Y(untouched));
    run_on<Key, B>(s, {x.data() + 1, scaled ? x_scale.data() : nullptr, stored, scaled ? w_scale.data() : nullptr,
                       with_bias ? bias.data() : nullptr, y.data(), n, out, in, ldx, ldy});
    return y;
  }
  std::vector<Y> reference() const { return run<Ref>({}, w.data(), rows); }
  Packed packed() const { return pack(impl<Key, Cpu>::layout(), w, out, in); }
};

// fp32 sums of up to 2000 products of unit variance; a sum beside the middle of two bf16 may become either: one ulp.
template <class Y> constexpr float absolute = 3e-5f;
template <class Y> constexpr float relative = std::same_as<Y, bf16> ? 0x1p-7f : 1e-5f;

struct Pools {
  ThreadPool one{1}, two{2}, three{3};
  explicit Pools(int in) {
    for (ThreadPool* p : {&one, &two, &three}) {
      p->reserve(kernels::linear_scratch(in).thread);
      p->reserve_shared(kernels::linear_scratch(in).shared);
    }
  }
};

template <class Types> class LinearCpu : public testing::Test {};
using AllTypes = testing::Types<Types<quant::NoAs<bf16>, float, float>, Types<quant::NoAs<bf16>, bf16, bf16>,
                                Types<quant::NoAs<bf16>, bf16, float>, Types<quant::NoAs<fp16>, float, float>,
                                Types<quant::NoAs<fp16>, bf16, bf16>, Types<quant::NoAs<fp16>, bf16, float>,
                                Types<quant::NoAs<float>, float, float>, Types<quant::NoAs<float>, bf16, bf16>,
                                Types<quant::NoAs<float>, bf16, float>, Types<quant::PerToken<int8>, float, float>,
                                Types<quant::PerToken<int8>, bf16, bf16>, Types<quant::PerToken<int8>, bf16, float>>;
struct KeyName {
  template <class Types> static std::string GetName(int) { return std::string(std::string_view(Problem<Types>::Key::name())); }
};
TYPED_TEST_SUITE(LinearCpu, AllTypes, KeyName);

TYPED_TEST(LinearCpu, AgreesWithRefForAnyShapeAndThreadCount) {
  using P = Problem<TypeParam>;
  using Y = typename P::Y;
  Pools pools(1100);
  // 270 outputs: one thread packs many rows for itself, several pack them together.
  const int shapes[][2] = {{1, 1}, {7, 5}, {32, 64}, {33, 31}, {129, 200}, {70, 1027}, {270, 66}};
  for (const auto& shape : shapes) {
    const int out = shape[0], in = shape[1];
    for (bool bias : {false, true}) {
      const P problem(100, out, in, bias);
      const std::vector<Y> all = problem.reference();
      const Packed packed = problem.packed();
      const auto* w = static_cast<const typename P::W*>(packed.get());
      at_every_isa([&] {
        for (int rows : {1, 2, 3, 5, 8, 16, 17, 33, 64, 100}) {
          SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(out) + " x " + std::to_string(in) + (bias ? " + bias" : ""));
          const std::vector<Y> want(all.begin(), all.begin() + std::ptrdiff_t{rows} * problem.ldy);
          const std::vector<Y> got = problem.template run<Cpu>(&pools.one, w, rows);
          ASSERT_TRUE(close(got, want, absolute<Y>, relative<Y>));
          ASSERT_TRUE(identical(got, problem.template run<Cpu>(&pools.two, w, rows)));
          ASSERT_TRUE(identical(got, problem.template run<Cpu>(&pools.three, w, rows)));
        }
      });
      if constexpr (HasKernel<typename P::Key, Emu<32>>)
        for (int rows : {1, 16, 40}) {
          SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(out) + " x " + std::to_string(in) + (bias ? " + bias" : ""));
          const std::vector<Y> want(all.begin(), all.begin() + std::ptrdiff_t{rows} * problem.ldy);
          test::on_every_wave([&]<class B>(B, typename B::stream machine) {
            const std::vector<Y> got = problem.template run<B>(machine, problem.w.data(), rows);
            EXPECT_TRUE(close(got, want, absolute<Y>, relative<Y>));
            return got;
          });
        }
    }
  }
}

// More rows than one pass over the weights takes, and an `in` that needs several blocks.
TYPED_TEST(LinearCpu, ManyRowsTakeSeveralPasses) {
  using P = Problem<TypeParam>;
  const P problem(1100, 20, 1500, true);
  const Packed packed = problem.packed();
  const auto want = problem.reference();
  Pools pools(1500);
  at_every_isa([&] {
    for (const int rows : {961, problem.rows}) {  // halves of 961 do not round up to whole groups within a pass
      const std::vector<typename P::Y> first(want.begin(), want.begin() + std::ptrdiff_t{rows} * problem.ldy);
      const auto got = problem.template run<Cpu>(&pools.two, static_cast<const typename P::W*>(packed.get()), rows);
      ASSERT_TRUE(close(got, first, absolute<typename P::Y>, relative<typename P::Y>)) << rows << " rows";
    }
  });
}

// Few rows so long that threads pack them together, and so long that `in` is cut.
TYPED_TEST(LinearCpu, FewRowsMayBeLong) {
  using P = Problem<TypeParam>;
  for (const int in : {9100, 42000}) {
    const P problem(16, 70, in, true);
    const Packed packed = problem.packed();
    const auto all = problem.reference();
    Pools pools(in);
    at_every_isa([&] {
      for (int rows : {1, 7, 16}) {
        SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(in));
        const std::vector<typename P::Y> want(all.begin(), all.begin() + std::ptrdiff_t{rows} * problem.ldy);
        const auto got = problem.template run<Cpu>(&pools.one, static_cast<const typename P::W*>(packed.get()), rows);
        ASSERT_TRUE(close(got, want, 2 * absolute<typename P::Y>, relative<typename P::Y>));
        ASSERT_TRUE(identical(got, problem.template run<Cpu>(&pools.two, static_cast<const typename P::W*>(packed.get()), rows)));
      }
    });
  }
}

// Sums of so many rows and outputs are not all kept between slices of `in`: the last outputs come in a group of their own.
TEST(LinearSlices, OutputsDoNotDependOnTheirGroup) {
  using P = Problem<Types<quant::NoAs<bf16>, bf16, float>>;
  constexpr int rows = 450, in = 1500, last = 40, first = 4400;
  const P all(rows, first + last, in, false);
  P some(rows, last, in, false);
  std::copy(all.w.begin() + first * in, all.w.end(), some.w.begin());
  some.x = all.x;
  const Packed packed_all = all.packed(), packed_some = some.packed();
  Pools pools(in);
  at_every_isa([&] {
    const auto many = all.run<Cpu>(&pools.two, static_cast<const bf16*>(packed_all.get()), rows);
    const auto few = some.run<Cpu>(&pools.two, static_cast<const bf16*>(packed_some.get()), rows);
    for (int r = 0; r < rows; ++r)
      for (int i = 0; i < last; ++i)
        ASSERT_EQ(many[static_cast<std::size_t>(r * all.ldy + first + i)], few[static_cast<std::size_t>(r * some.ldy + i)])
            << r << ' ' << i;
  });
}

TYPED_TEST(LinearCpu, LayoutIsAsDocumentedAndPiecesMayBeAnyRows) {
  using P = Problem<TypeParam>;
  using W = typename P::W;
  const auto& layout = impl<typename P::Key, Cpu>::layout();
  const int out = 71, in = 77;
  const P problem(1, out, in, false);
  const int per_dword = 4 / int{sizeof(W)}, blocks = (in + 16 * per_dword - 1) / (16 * per_dword);
  const std::size_t panel = static_cast<std::size_t>(blocks) * 2048 + 128;
  ASSERT_EQ(layout.bytes(out, in), 3 * panel);
  std::vector<unsigned char> want(3 * panel);
  for (int n = 0; n < out; ++n) {
    unsigned char* const p = want.data() + static_cast<std::size_t>(n / 32) * panel;
    std::int32_t sum = 0;
    for (int k = 0; k < in; ++k) {
      const int dword = k / per_dword;
      const int at = dword / 16 * 2048 + n % 32 / 16 * 1024 + dword % 16 * 64 + n % 16 * 4 + k % per_dword * int{sizeof(W)};
      std::memcpy(p + at, &problem.w[static_cast<std::size_t>(n * in + k)], sizeof(W));
      if constexpr (std::same_as<W, int8>) sum += problem.w[static_cast<std::size_t>(n * in + k)];
    }
    if constexpr (std::same_as<W, int8>) std::memcpy(p + panel - 128 + n % 32 * 4, &sum, 4);
  }
  for (int piece : {out, 32, 8, 5, 1}) {
    const Packed got = pack(layout, problem.w, out, in, piece);
    EXPECT_EQ(std::memcmp(got.get(), want.data(), want.size()), 0) << "pieces of " << piece << " rows";
  }
  const Packed shared = zeroed(layout, out, in);
  std::vector<std::thread> loaders;
  for (int first = 0; first < out; first += layout.row_block)
    loaders.emplace_back([&, first] {
      layout.put(shared.get(), out, in, {problem.w.data() + first * in, in, first, std::min(layout.row_block, out - first)});
    });
  for (auto& t : loaders) t.join();
  EXPECT_EQ(std::memcmp(shared.get(), want.data(), want.size()), 0) << "concurrent loaders";
}

// Exact arithmetic: a row is the same alone and in a batch, at every level.
TEST(LinearInt8, RowsAreExactWhateverTheBatchAndLevel) {
  using P = Problem<Types<quant::PerToken<int8>, float, float>>;
  P problem(40, 64, 2048, false);
  std::fill(problem.x_scale.begin(), problem.x_scale.end(), 1.0f);  // powers of two: the epilogue rounds once
  std::fill(problem.w_scale.begin(), problem.w_scale.end(), 0.5f);
  std::fill(problem.w.begin(), problem.w.begin() + 2048, int8{-128});
  std::fill(problem.x.begin(), problem.x.begin() + 2049, int8{-127});  // the largest sum
  const Packed packed = problem.packed();
  const auto want = problem.reference();
  Pools pools(2048);
  at_every_isa([&] {
    for (int rows : {1, 4, 12, 40}) {
      const auto got = problem.run<Cpu>(&pools.one, static_cast<const int8*>(packed.get()), rows);
      EXPECT_TRUE(std::equal(got.begin(), got.end(), want.begin())) << rows << " rows";
    }
  });
}

// Kernels of a GPU for so many rows, alone and joined with what becomes of the sums.
TEST(LinearGpu, FewRowsAgreeWithRefOnAnySchedule) {
  const auto agrees = []<class Tail>(Tail, int rows, int out, int in) {
    SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(out) + " x " + std::to_string(in));
    using Product = kernels::linear<quant::NoAs<bf16>, bf16>;
    const auto n = [](int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); };
    const auto x = test::noise<bf16>(n(rows, in), 1), before = test::noise<bf16>(n(rows, out), 2);
    const auto w = test::noise<bf16>(n(out, in), 3, 1 / std::sqrt(static_cast<float>(in)));
    const auto bias = test::noise<float>(n(1, out), 4);
    const auto run = [&]<class B>(B, typename B::stream s) {
      auto y = before;
      const Product::args a{x.data(), nullptr, w.data(), nullptr, bias.data(), y.data(), rows, out, in, in, out};
      if constexpr (std::same_as<Tail, kernels::Write>)
        run_on<Product, B>(s, a);
      else
        run_on<kernels::fused_linear<quant::NoAs<bf16>, bf16, Tail>, B>(s, {a});
      return y;
    };
    const auto want = run(Ref{}, {});
    test::on_every_wave([&]<class B>(B backend, typename B::stream machine) {
      const auto got = run(backend, machine);
      EXPECT_TRUE(close(got, want, std::same_as<Tail, kernels::Add> ? 0.02f : absolute<bf16>, 2 * relative<bf16>));
      return got;
    });
  };
  using Silu = kernels::Gate<activation::Silu>;
  for (int rows : {9, 17}) {
    agrees(kernels::Write{}, rows, 2148, 32);
    agrees(Silu{}, rows, 72, 544);
  }
  agrees(kernels::Write{}, 16, 6340, 32);
  agrees(kernels::Add{}, 32, 100, 1088);
  agrees(kernels::Write{}, 40, 2148, 32);
  agrees(kernels::Write{}, 40, 18244, 32);
  agrees(Silu{}, 40, 72, 160);
}

// ... and joined with the search for each row's best output: which block came first does not show.
TEST(LinearGpu, BestsAreThoseOfTheOutputsOnAnySchedule) {
  using Joined = kernels::fused_linear<quant::NoAs<bf16>, bf16, kernels::Best>;
  const int shapes[][3] = {{1, 300, 64}, {8, 33, 544}, {13, 2064, 32}, {20, 6340, 32}, {40, 18248, 32}};
  for (const auto& [rows, out, in] : shapes) {
    SCOPED_TRACE(testing::Message() << rows << " x " << out << " x " << in);
    const auto n = [](int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); };
    const auto x = test::noise<bf16>(n(rows, in), 1), w = test::noise<bf16>(n(out, in), 3);
    test::on_every_wave([&]<class B>(B, typename B::stream machine) {
      std::vector<float> y(n(rows, out));
      std::vector<std::uint64_t> best(n(rows, 1)), want = best;
      const typename Joined::args a{
          {x.data(), nullptr, w.data(), nullptr, nullptr, y.data(), rows, out, in, in, out}, nullptr, 0, best.data()};
      EXPECT_TRUE((impl<Joined, B>::takes(a)));
      run_on<Joined, B>(machine, a);
      run_on<kernels::best_tokens, Ref>({}, {y.data(), want.data(), rows, out, out});
      EXPECT_EQ(best, want);
      return best;
    });
  }
}

template <class T> class QuantizeCpu : public testing::Test {};
using Computed = testing::Types<float, bf16>;
struct TypeName {
  template <class T> static std::string GetName(int) { return std::string(type_name<T>); }
};
TYPED_TEST_SUITE(QuantizeCpu, Computed, TypeName);

TYPED_TEST(QuantizeCpu, MatchesTheCodecBitForBit) {
  using T = TypeParam;
  using Key = kernels::quantize<quant::PerToken<int8>, T>;
  ThreadPool pool(2);
  for (int cols : {1, 7, 8, 16, 33, 1024, 1031}) {
    const int rows = 21, ldx = cols + 3;
    auto x = test::noise<T>(static_cast<std::size_t>(rows) * static_cast<std::size_t>(ldx), 7);
    const auto row = [&](int r) { return x.begin() + std::ptrdiff_t{r} * ldx; };
    std::fill_n(row(0), cols, T(0.0f));
    std::fill_n(row(1), cols, T(1e-40f));  // below the smallest normal number
    *row(2) = T(std::numeric_limits<float>::infinity());
    *(row(3) + cols - 1) = T(std::numeric_limits<float>::quiet_NaN());
    for (int c = 0; c < cols; ++c) *(row(4) + c) = T(static_cast<float>(c % 255) - 127.0f + (c % 2 == 0 ? 0.5f : 0.0f));  // ties
    *row(4) = T(127.0f);
    const auto run = [&]<class B>(B, typename B::stream s) {
      std::vector<int8> q(static_cast<std::size_t>(rows * cols), 99);
      std::vector<float> scale(static_cast<std::size_t>(rows));
      run_on<Key, B>(s, {x.data(), q.data(), scale.data(), rows, cols, ldx});
      return std::pair(q, scale);
    };
    const auto want = run(Ref{}, {});
    at_every_isa([&] {
      const auto got = run(Cpu{}, &pool);
      EXPECT_TRUE(identical(got.first, want.first)) << cols;
      EXPECT_TRUE(identical(got.second, want.second)) << cols;
      std::vector<int8> alone(static_cast<std::size_t>(cols));
      float scale = -1;
      impl<Key, Cpu>::encode_row(&*row(4), cols, alone.data(), &scale);
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), want.first.begin() + std::ptrdiff_t{4} * cols)) << cols;
      EXPECT_EQ(scale, want.second[4]);
    });
  }
}

}  // namespace
}  // namespace atom
