// Experts shared out over ranks: rows that travel to them and back give what one rank gives, bit for bit.
#include "atom/ops/ref.hpp"

#include "conformance.hpp"
#include "mixture.hpp"

namespace atom {
namespace {

using namespace test;

std::size_t size(int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }

TEST(ExpertShare, IsEvenAndWhole) {
  for (int ranks : {1, 2, 3, 5, 8})
    for (int experts : {8, 9, 13, 128, 160}) {
      int next = 0;
      for (int r = 0; r < ranks; ++r) {
        const model::Share s = model::expert_share(experts, {r, ranks, ranks});
        EXPECT_EQ(s.begin, next);
        EXPECT_GE(s.count, experts / ranks);
        EXPECT_LE(s.count, experts / ranks + 1);
        for (int e = s.begin; e < s.begin + s.count; ++e) EXPECT_EQ(model::owner_of_expert(e, experts, ranks), r);
        next += s.count;
      }
      EXPECT_EQ(next, experts);
      EXPECT_EQ(model::expert_share(experts, {ranks - 1, ranks}).count, experts) << "cut, every rank has a part of all";
    }
}

struct Choices {
  std::vector<int> expert;
  std::vector<float> weight;
};
enum class Load { spread, one_rank, last_expert };
Choices choose(int rows, int top_k, int experts, Load load) {
  Choices c{std::vector<int>(size(rows, top_k)), noise<float>(size(rows, top_k), 3)};
  for (int r = 0; r < rows; ++r)
    for (int k = 0; k < top_k; ++k) {
      const int e = load == Load::spread ? (r * 7 + k * 3) % experts : load == Load::one_rank ? k : experts - 1 - k;
      c.expert[size(r, top_k) + static_cast<std::size_t>(k)] = e;
    }
  return c;
}

/// One rank's half of the traffic, by backend B.
template <class B, class T> struct Traffic {
  typename B::stream stream;
  ThreadComm* comm;
  const Choices& choices;
  int rows, top_k, cols, experts, ldx;
  std::vector<T> arrived{};
  std::vector<int> first{}, slot{};

  kernels::Traffic<ThreadComm> common() {
    return {choices.expert.data(), slot.data(), rows, top_k, model::share(rows, {comm->rank(), comm->size()}), experts, comm};
  }
  void dispatch(const std::vector<T>& x) {
    const int own = model::expert_share(experts, {comm->rank(), comm->size(), comm->size()}).count, room = rows * top_k;
    arrived.assign(size(room, cols), T(-1.0f));
    first.assign(static_cast<std::size_t>(own) + 1, -1);
    slot.assign(static_cast<std::size_t>(room), -1);
    run_on<kernels::dispatch_rows<T, ThreadComm>, B>(stream, {common(), x.data(), arrived.data(), first.data(), cols, ldx, room});
  }
  std::vector<T> back(const T* plus) {
    std::vector<T> y(size(rows, ldx), T(5.0f));
    run_on<kernels::return_rows<T, ThreadComm>, B>(stream,
                                                   {common(), arrived.data(), choices.weight.data(), plus, y.data(), cols, ldx});
    return y;
  }
};

template <class T> struct RowsTravel : testing::Test {};
using Types = testing::Types<float, bf16>;
TYPED_TEST_SUITE(RowsTravel, Types);

// There: every expert's rows are those it would have on one rank, in the same order. Back: what combine_experts makes of them.
TYPED_TEST(RowsTravel, ToTheOwnersAndBack) {
  using T = TypeParam;
  const int cols = 67, ldx = 70;
  struct Case {
    int rows, top_k, experts;
  };
  for (const Case n : {Case{1, 2, 8}, {0, 1, 5}, {5, 3, 7}, {64, 8, 13}})
    for (int ranks : {1, 2, 3, 5})
      for (Load load : {Load::spread, Load::one_rank, Load::last_expert}) {
        const int rows = n.rows, top_k = n.top_k, experts = n.experts;
        if (experts < top_k || experts < ranks) continue;
        SCOPED_TRACE(testing::Message() << rows << " rows, " << top_k << " of " << experts << ", " << ranks << " ranks");
        const Choices c = choose(rows, top_k, experts, load);
        const auto x = noise<T>(size(rows, ldx) + 1, 4), plus = noise<T>(size(rows, cols) + 1, 5);
        std::vector<int> first(static_cast<std::size_t>(experts) + 1), row(c.expert.size()), slot(c.expert.size());
        run_on<kernels::sort_by_expert, Ref>({}, {c.expert.data(), first.data(), row.data(), slot.data(), rows, top_k, experts});
        std::vector<T> sorted(size(rows * top_k, cols));
        for (std::size_t s = 0; s < row.size(); ++s)
          std::copy_n(x.begin() + row[s] * ldx, cols, sorted.begin() + static_cast<std::ptrdiff_t>(s) * cols);

        const auto check = [&]<class B>(B, auto stream_of) {
          std::vector<T> want(size(rows, ldx));
          run_on<kernels::combine_experts<T>, B>(
              stream_of(0), {sorted.data(), slot.data(), c.weight.data(), plus.data(), want.data(), rows, cols, top_k, ldx});
          every_rank(ranks, [&](int r, ThreadComm& comm) {
            Traffic<B, T> t{stream_of(r), &comm, c, rows, top_k, cols, experts, ldx};
            t.dispatch(x);
            const model::Share own = model::expert_share(experts, {r, ranks, ranks}), mine = model::share(rows, {r, ranks});
            const int begin = first[static_cast<std::size_t>(own.begin)];
            for (int e = 0; e <= own.count; ++e)
              EXPECT_EQ(t.first[static_cast<std::size_t>(e)], first[static_cast<std::size_t>(own.begin + e)] - begin);
            const auto blocks = sorted.begin() + static_cast<std::ptrdiff_t>(begin) * cols;
            EXPECT_TRUE(std::equal(t.arrived.begin(), t.arrived.begin() + t.first.back() * cols, blocks,
                                   [](T a, T b) { return static_cast<float>(a) == static_cast<float>(b); }));
            const T* besides = r == 0 ? plus.data() : nullptr;  // as one term of a sum over ranks
            const auto got = t.back(besides);
            for (int i = 0; i < rows; ++i)
              for (int col = 0; col < cols; ++col) {
                const std::size_t at = size(i, ldx) + static_cast<std::size_t>(col);
                const bool is_mine = i >= mine.begin && i < mine.begin + mine.count;
                if (is_mine && besides) {
                  EXPECT_EQ(static_cast<float>(got[at]), static_cast<float>(want[at]));
                } else if (!is_mine) {
                  EXPECT_EQ(static_cast<float>(got[at]),
                            besides ? static_cast<float>(plus[size(i, cols) + static_cast<std::size_t>(col)]) : 0);
                }
              }
          });
        };
        check(Ref{}, [](int) { return Ref::stream{}; });
        std::vector<std::unique_ptr<ThreadPool>> pools;
        for (int r = 0; r < ranks; ++r) pools.push_back(std::make_unique<ThreadPool>(1 + r % 2));
        check(Cpu{}, [&](int r) { return pools[static_cast<std::size_t>(r)].get(); });
      }
}

template <class T, class Q> void expect_one_ranks_answers() {
  using Build = tiny_moe<T, Q, model::Parallel{.tp = dynamic, .ep = dynamic}>;
  // Biased experts: a whole expert adds its own bias, whichever rank has it.
  using Expert = model::GatedMlp<Build, model::Axis::expert_ff, model::Bias::always>;
  for (const MixtureShape shape : {MixtureShape{.experts = 8, .top_k = 2}, {.experts = 7, .top_k = 3}}) {
    const Mixture<Build, moe::ExpertParallel<moe::Grouped<Expert>>> shared_out(shape);
    const Mixture<Build, moe::ExpertParallel<moe::PerExpert<Expert>>> one_by_one(shape);
    const Mixture<Build, moe::Grouped<Expert>> alone(shape);
    for (int rows : {1, 3, 50})
      for (Load load : {Load::spread, Load::one_rank, Load::last_expert}) {
        const Choices c = choose(rows, shape.top_k, shape.experts, load);
        const auto x = noise<T>(size(rows, shape.d_model), 7);
        ThreadComm none;
        const auto want = alone.run(pool(2), &none, {}, x, c.expert, c.weight);
        for (int ranks : {2, 3, 4}) {
          SCOPED_TRACE(testing::Message() << rows << " rows, " << shape.top_k << " of " << shape.experts << ", " << ranks
                                          << " ranks");
          every_rank(ranks, [&](int r, ThreadComm& comm) {
            ThreadPool mine(1 + r % 2);
            for (const auto& got : {shared_out.run(&mine, &comm, {r, ranks, ranks}, x, c.expert, c.weight),
                                    one_by_one.run(&mine, &comm, {r, ranks, ranks}, x, c.expert, c.weight)}) {
              auto sum = got;
              comm.all_reduce(sum.data(), sum.size());
              EXPECT_TRUE(identical(sum, want)) << "rank " << r;
            }
          });
        }
      }
  }
}
TEST(ExpertParallel, RanksGiveOneRanksAnswers) {
  expect_one_ranks_answers<float, quant::No>();
  expect_one_ranks_answers<bf16, quant::No>();
  expect_one_ranks_answers<bf16, quant::PerToken<int8>>();
}

}  // namespace
}  // namespace atom
