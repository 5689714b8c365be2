#pragma once
// FusedMoE<Router, Method, Rule>: y = sum over the chosen experts of weight · expert(x).   Shazeer et al. 2017, arXiv:1701.06538
// SharedMoE adds an MLP for every row; with moe::Inputs y = expert(weight · x).
// One idea: three policies. The router gives logits, Rule turns them into choices and weights, Method owns the experts' weights and
// computes. Each is a type, so what a backend cannot do is a sentence at compile time.
//   moe::Grouped      the products of all experts in one launch
//   moe::PerExpert    expert by expert, with linear: for backends that have no more
//   moe::MethodFor    of these two, the one a backend serves best: what the families take
//   moe::ExpertParallel<Method>   whole experts shared out over ranks, rows travelling to them
// To extend: a Method has `shape(experts)`, parameters (ATOM_MODULE or describe()), and an operator() as moe::Blocks'; a Rule
// is a key (atom/ops/moe_op.hpp).
#include <vector>

#include "atom/core/backend.hpp"
#include "atom/core/error.hpp"
#include "atom/ops/activation.hpp"
#include "atom/ops/embedding_op.hpp"
#include "atom/ops/linear.hpp"
#include "atom/ops/moe_comm.hpp"

namespace atom::moe {

/// Which experts each row goes to, and how much each counts.
struct Routing {
  const int* expert;    // (rows, top_k)
  const float* weight;  // (rows, top_k)
  int top_k;
};

// In a checkpoint that holds all experts in one tensor, the rows of a packed weight, gate and up, are
struct Halves {  // all of one, then all of the other
  static constexpr model::Axis turns = model::Axis::none;
};
struct Alternating {  // one of each
  static constexpr model::Axis turns = model::Axis::expert_ff;
};

/// What the methods share: rows are sorted by expert, so that each expert's are one block, go through their experts, each a gated
/// MLP, and are summed. `Expert` is a module of two Linears, up() and down(), that names its members as the checkpoint does, and
/// says by a type which `activation` is between them. `Product` multiplies all blocks by one matrix of each expert.
template <class Expert, class Order, class Product> struct Blocks {
  using scheme = typename Expert::scheme;
  using Weight = kernels::ExpertWeight<typename scheme::weight>;
  std::vector<Expert> experts;
  const Weight* table = nullptr;  // (2, experts): of up(), then of down(); made once, where kernels read it

  /// The one allocation, made when a model is built.
  void shape(int count) { experts.resize(static_cast<std::size_t>(count)); }

  /// x: (rows, d_model) -> y of the same shape, `plus` (rows, d_model), where not null, added. With several ranks each holds a part
  /// of every expert, and y is this rank's term.
  template <StepContext Ctx>
  void operator()(Ctx& ctx, Tensor<typename Ctx::act> x, const Routing& r, const typename Ctx::act* plus,
                  Tensor<typename Ctx::act> y) const {
    using T = typename Ctx::act;
    const int n = static_cast<int>(experts.size()), slots = x.rows * r.top_k;
    auto f = ctx.frame();
    const auto first = temp<int>(ctx, n + 1, 1), row = temp<int>(ctx, slots, 1), slot = temp<int>(ctx, slots, 1);
    run<kernels::sort_by_expert>(ctx, {r.expert, first.data, row.data, slot.data, x.rows, r.top_k, n});
    const auto rows = temp<T>(ctx, slots, x.cols);
    run<kernels::gather_rows<T>>(ctx, {x.data, row.data, rows.data, slots, x.cols, x.stride});
    answer(ctx, rows, first.data, {0, n});
    run<kernels::combine_experts<T>>(ctx, {rows.data, slot.data, r.weight, plus, y.data, x.rows, y.cols, r.top_k, y.stride});
  }

  /// Rows sorted by expert become its answers: `first` (own.count + 1) says where the rows of each of these experts begin, of which
  /// this rank has all or a part.
  template <StepContext Ctx> void answer(Ctx& ctx, Tensor<typename Ctx::act> rows, const int* first, model::Share own) const {
    auto f = ctx.frame();
    multiply(ctx, 1, ops::gate_mul<typename Expert::activation, Expert>(ctx, up(ctx, rows, first, own)), first, own, rows);
  }

  /// Parameters under "<path>.<expert>.".
  template <class Ctx> void describe(model::ParamTable& out, const model::ParamPath& path) {
    for (std::size_t e = 0; e < experts.size(); ++e) {
      const std::string key = std::to_string(e);
      const model::ParamPath here{&path, key};
      const std::size_t begin = out.size();
      model::collect<Ctx>(experts[e], out, &here);
      for (std::size_t i = begin; i < out.size(); ++i) {
        out[i].expert = static_cast<int>(e);
        out[i].rows.turns = Order::turns;
      }
    }
    out.tables.push_back({this, 2 * experts.size() * sizeof(Weight), &make_table, &bind_table});
  }

 private:
  template <class Ctx, class T> auto up(Ctx& ctx, Tensor<T> x, const int* first, model::Share own) const {
    const auto y = temp<T>(ctx, x.rows, experts[static_cast<std::size_t>(own.begin)].up().weight.rows);
    if constexpr (quant::QuantizesActivations<scheme>) {
      auto f = ctx.frame();
      const auto q = quant::qtemp<scheme>(ctx, x.rows, x.cols);
      run<kernels::quantize<scheme, T>>(ctx, {x.data, q.data, q.scales, x.rows, x.cols, x.stride});
      multiply(ctx, 0, q, first, own, y);
    } else {
      multiply(ctx, 0, x, first, own, y);
    }
    return y;
  }

  /// Each block of rows times its expert's first or second matrix.
  template <class Ctx, class X, class T>
  void multiply(Ctx& ctx, std::size_t which, const X& x, const int* first, model::Share own, Tensor<T> y) const {
    const Weight* const weights = table ? table + which * experts.size() + own.begin : nullptr;  // a dry run has none
    const float* scale = nullptr;
    if constexpr (quant::QuantizesActivations<scheme>) scale = x.scales;
    Product::template run<scheme, T>(ctx, {x.data, scale, weights, first, y.data, x.rows, y.cols, x.cols, own.count});
  }

  static void make_table(const void* module, const model::Rank& rank, std::byte* to) {
    const auto& self = *static_cast<const Blocks*>(module);
    const bool first = rank.index == 0 || rank.ep > 1;  // of those that share an expert
    auto* at = reinterpret_cast<Weight*>(to);
    const auto put = [&](const auto& linear) {
      *at = {linear.weight.data, nullptr, linear.bias_if(first)};
      if constexpr (quant::Scaled<scheme>) at->scale = linear.weight_scale.data;
      ++at;
    };
    for (const Expert& e : self.experts) put(e.up());
    for (const Expert& e : self.experts) put(e.down());
  }
  static void bind_table(void* module, const std::byte* there) {
    static_cast<Blocks*>(module)->table = reinterpret_cast<const Weight*>(there);
  }
};

/// All blocks in one launch.
struct OneLaunch {
  template <class Q, class T> static void run(auto& ctx, const typename kernels::expert_linear<Q, T>::args& a) {
    using op = kernels::expert_linear<Q, T>;
    static_assert(HasKernel<op, typename std::remove_reference_t<decltype(ctx)>::target>,
                  "atom: moe::Grouped: this backend has no expert_linear for this scheme; take moe::PerExpert, or specialise "
                  "atom::impl<kernels::expert_linear<Q, T>, Backend> (docs/adding_a_kernel.md)");
    atom::run<op>(ctx, a);
  }
};
/// A launch for each expert that has rows.
struct LaunchEach {
  template <class Q, class T> static void run(auto& ctx, const typename kernels::expert_linear<Q, T>::args& a) {
    static_assert(HostMemory<typename std::remove_reference_t<decltype(ctx)>::target>,
                  "atom: moe::PerExpert: the host cannot see which experts of this backend have rows; for moe::Grouped specialise "
                  "atom::impl<kernels::expert_linear<Q, T>, Backend> (docs/adding_a_kernel.md)");
    if (!a.first) return plan<Q, T>(ctx, a);
    for (int e = 0; e < a.experts; ++e)
      if (a.first[e] < a.first[e + 1]) atom::run<kernels::linear<Q, T>>(ctx, kernels::expert_linear<Q, T>::block(a, e));
  }

 private:
  /// A dry run, as if rows met as many different experts as they can.
  template <class Q, class T> static void plan(auto& ctx, const typename kernels::expert_linear<Q, T>::args& a) {
    for (int e = 0, met = a.rows < a.experts ? a.rows : a.experts; e < met; ++e)
      atom::run<kernels::linear<Q, T>>(
          ctx, {nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, a.rows / met + (e < a.rows % met), a.out, a.in, a.in, a.out});
  }
};

template <class Expert, class Order = Halves> using Grouped = Blocks<Expert, Order, OneLaunch>;
template <class Expert, class Order = Halves> using PerExpert = Blocks<Expert, Order, LaunchEach>;

/// Grouped where backend B has a kernel for it; else PerExpert, which needs no more than linear.
template <class B, class T, class Expert, class Order = Halves>
using MethodFor = std::conditional_t<HasKernel<kernels::expert_linear<typename Expert::scheme, T>, B>, Grouped<Expert, Order>,
                                     PerExpert<Expert, Order>>;

/// Rows to the ranks that own their experts, and answers back, by the communicator's dispatch_rows and return_rows.
struct Mailbox {
  template <class T> struct Arrived {
    Tensor<T> rows;    // sorted by expert
    const int* first;  // (own experts + 1)
    int* slot;         // (rows of the batch, top_k)
  };
  /// Takes its memory from the frame of the caller. `mine`: the rows of x that this rank sends.
  template <StepContext Ctx, class T>
  static Arrived<T> dispatch(Ctx& ctx, Tensor<T> x, const Routing& r, model::Share mine, model::Share own) {
    using op = kernels::dispatch_rows<T, typename Ctx::comm_type>;
    static_assert(
        HasKernel<kernels::dispatch_rows<T, typename Ctx::target::comm>, typename Ctx::target>,
        "atom: moe::ExpertParallel: on this backend no rows can travel between ranks; build with Parallel::ep = 1, which "
        "cuts every expert, or specialise atom::impl<kernels::dispatch_rows<T, Comm>, Backend> (docs/adding_a_kernel.md)");
    const int room = x.rows * r.top_k;
    const auto first = temp<int>(ctx, own.count + 1, 1), slot = temp<int>(ctx, room, 1);
    auto rows = temp<T>(ctx, room, x.cols);
    run<op>(ctx, {{r.expert, slot.data, x.rows, r.top_k, mine, ctx.experts(), ctx.comm},
                  x.data,
                  rows.data,
                  first.data,
                  x.cols,
                  x.stride,
                  room});
    if constexpr (HostMemory<typename Ctx::target>)
      if (first.data) rows.rows = first.data[own.count];  // in a dry run as many as can be
    return {rows, first.data, slot.data};
  }
  template <StepContext Ctx, class T>
  static void collect(Ctx& ctx, const Arrived<T>& a, const Routing& r, model::Share mine, const T* plus, Tensor<T> y) {
    run<kernels::return_rows<T, typename Ctx::comm_type>>(ctx, {{r.expert, a.slot, y.rows, r.top_k, mine, ctx.experts(), ctx.comm},
                                                                a.rows.data,
                                                                r.weight,
                                                                plus,
                                                                y.data,
                                                                y.cols,
                                                                y.stride});
  }
};

/// Every rank owns some experts, whole, and a share of the rows, which travel to their experts and back; the rest of the model is
/// cut over the same ranks.   Lepikhin et al. 2020, https://arxiv.org/abs/2006.16668 `Method` multiplies as if it had all rows and
/// few experts, so answers are those of one rank, bit for bit. `Dispatch` moves rows. Whether experts are shared out or cut is
/// Rank::ep, which the builds that have this type leave to the run time or fix.
template <class Method, class Dispatch = Mailbox> struct ExpertParallel : Method {
  template <StepContext Ctx>
  void operator()(Ctx& ctx, Tensor<typename Ctx::act> x, const Routing& r, const typename Ctx::act* plus,
                  Tensor<typename Ctx::act> y) const {
    if (ctx.rank.ep == 1) return Method::operator()(ctx, x, r, plus, y);
    const model::Share own = model::expert_share(ctx.experts(), ctx.rank), mine = model::share(x.rows, ctx.rank);
    auto f = ctx.frame();
    const auto arrived = Dispatch::dispatch(ctx, x, r, mine, own);
    this->answer(ctx, arrived.rows, arrived.first, own);
    Dispatch::collect(ctx, arrived, r, mine, plus, y);
  }
};

// Where an expert's weight counts:
struct Outputs {};  // it multiplies the answer
struct Inputs {};   // it multiplies what the expert is given; of one expert for each row   (Llama 4)

/// Throws where the spec's experts cannot be weighed so.
template <class Weighed> void check_weighed(const model::ModelSpec& s) {
  if (std::same_as<Weighed, Inputs> && s.moe.top_k != 1)
    throw Error("config.json: num_experts_per_tok: " + std::to_string(s.moe.top_k) +
                " experts of a row would each want an input of their own; take moe::Outputs, or a model of one expert per row");
}

/// Routes rows, and sums over their experts and over ranks. `plus`, where not null: this rank's term of what every row gets
/// besides.
template <class Rule, class Weighed = Outputs, StepContext Ctx, class T>
void mix(Ctx& ctx, const auto& router, const auto& experts, Tensor<T> x, Tensor<T> out, const T* plus = nullptr) {
  auto f = ctx.frame();
  const int top_k = ctx.top_k();
  const auto logits = temp<float>(ctx, x.rows, ctx.experts());
  router(ctx, x, logits);
  const auto expert = temp<int>(ctx, x.rows, top_k);
  const auto weight = temp<float>(ctx, x.rows, top_k);
  const float* bias = nullptr;
  if constexpr (Rule::biased) bias = router.e_score_correction_bias.data;
  run<kernels::route_topk<Rule>>(ctx, {logits.data, bias, expert.data, weight.data, x.rows, logits.cols, top_k, ctx.groups(),
                                       ctx.top_groups(), ctx.renormalises_topk(), ctx.numbers.routed_scale});
  if constexpr (std::same_as<Weighed, Inputs>) {
    const auto weighed = temp<T>(ctx, x.rows, x.cols);
    run<kernels::weigh_inputs<T>>(ctx, {x.data, weight.data, weighed.data, x.rows, x.cols, x.stride});
    x = weighed;
  }
  experts(ctx, x, {expert.data, weight.data, top_k}, plus, out);
  ops::reduce(ctx, out);
}

}  // namespace atom::moe

namespace atom::ops {

template <class Router, class Method, class Rule, class Weighed = moe::Outputs> struct FusedMoE {
  using scheme = typename Router::scheme;  // what the norm in front must leave: the router reads it as it is
  ATOM_MODULE(FusedMoE, (Router, gate), (Method, experts));

  void shape(const model::ModelSpec& s, int /*layer*/) {
    moe::check_weighed<Weighed>(s);
    experts.shape(s.moe.experts);
  }

  /// x: (rows, d_model) -> out of the same shape, summed over ranks.
  template <StepContext Ctx, class T> void operator()(Ctx& ctx, Tensor<T> x, Tensor<T> out) const {
    moe::mix<Rule, Weighed>(ctx, gate, experts, x, out);
  }
};

/// The same, with a `Shared` MLP that every row passes through.   Dai et al. 2024, https://arxiv.org/abs/2401.06066
template <class Router, class Method, class Rule, class Shared, class Weighed = moe::Outputs> struct SharedMoE {
  using scheme = typename Router::scheme;
  ATOM_MODULE(SharedMoE, (Router, gate), (Method, experts), (Shared, shared_experts));

  void shape(const model::ModelSpec& s, int /*layer*/) {
    moe::check_weighed<Weighed>(s);
    experts.shape(s.moe.experts);
  }

  template <StepContext Ctx, class T> void operator()(Ctx& ctx, Tensor<T> x, Tensor<T> out) const {
    auto f = ctx.frame();
    const auto shared = temp<T>(ctx, x.rows, x.cols);
    shared_experts.partial(ctx, x, shared);
    moe::mix<Rule, Weighed>(ctx, gate, experts, x, out, shared.data);
  }
};

}  // namespace atom::ops
