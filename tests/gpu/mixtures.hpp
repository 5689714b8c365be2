#pragma once
// Cases of gpu_conformance: a mixture of experts.
#include <algorithm>

#include "atom/ops/linear_gpu.hpp"
#include "atom/ops/moe_gpu.hpp"
#include "atom/ops/moe_ref.hpp"

#include "verdict.hpp"

namespace atom::test {

template <class B, class Rule>
void route(int rows, int experts, int top_k, int groups, int top_groups, bool renormalise, float spread) {
  using op = kernels::route_topk<Rule>;
  const auto logits = noise<float>(size(rows, experts), 30, spread), bias = noise<float>(size(experts, 1), 31);
  std::vector<int> expert(size(rows, top_k), -1), expert_want = expert;
  std::vector<float> weight(expert.size(), NAN), weight_want = weight;
  run_on<op, Ref>({}, {logits.data(), bias.data(), expert_want.data(), weight_want.data(), rows, experts, top_k, groups, top_groups,
                       renormalise, 2.5f});
  Side<B> side;
  run_on<op, B>(side.stream(), {side.in(logits), side.in(bias), side.out(expert), side.out(weight), rows, experts, top_k, groups,
                                top_groups, renormalise, 2.5f});
  Verdict(side.finish())
      .same(expert, expert_want)
      .close(weight, weight_want, 1e-30f, 2e-5f)
      .template say<B>(std::string_view(op::name()), shape({rows, top_k, experts, top_groups, groups}));
}

/// Whom rows choose: the first experts are in favour, the last gets nothing.
inline std::vector<int> choices(int rows, int top_k, int experts) {
  std::mt19937 generator(32);
  std::vector<int> all;
  for (int r = 0; r < rows; ++r) {
    std::vector<int> mine;
    while (static_cast<int>(mine.size()) < top_k) {
      const int e = static_cast<int>(generator() % static_cast<unsigned>(std::max(top_k, experts - 1))) %
                    (generator() % 2 ? experts : std::max(top_k, experts / 4));
      if (std::find(mine.begin(), mine.end(), e) == mine.end()) mine.push_back(e);
    }
    all.insert(all.end(), mine.begin(), mine.end());
  }
  return all;
}

template <class B> void sort(int rows, int top_k, int experts) {
  using op = kernels::sort_by_expert;
  const auto expert = choices(rows, top_k, experts);
  std::vector<int> first(size(experts + 1, 1), -1), row(expert.size(), -1), slot = row, first_want = first, row_want = row,
                                                                            slot_want = row;
  run_on<op, Ref>({}, {expert.data(), first_want.data(), row_want.data(), slot_want.data(), rows, top_k, experts});
  Side<B> side;
  run_on<op, B>(side.stream(), {side.in(expert), side.out(first), side.out(row), side.out(slot), rows, top_k, experts});
  Verdict(side.finish())
      .same(first, first_want)
      .same(row, row_want)
      .same(slot, slot_want)
      .template say<B>(std::string_view(op::name()), shape({rows, top_k, experts}));
}

template <class B, class T> void combine(int rows, int top_k, int cols, int padding, bool plus) {
  using op = kernels::combine_experts<T>;
  const auto x = noise<T>(size(rows * top_k, cols), 33), more = noise<T>(size(rows, cols), 34, 3);
  const auto weight = noise<float>(size(rows, top_k), 35);
  std::vector<int> slot(size(rows, top_k));
  for (std::size_t i = 0; i < slot.size(); ++i) slot[i] = static_cast<int>(slot.size() - 1 - i);
  std::vector<T> y(size(rows, cols + padding), T(7.0f)), want = y;
  run_on<op, Ref>(
      {}, {x.data(), slot.data(), weight.data(), plus ? more.data() : nullptr, want.data(), rows, cols, top_k, cols + padding});
  Side<B> side;
  run_on<op, B>(side.stream(), {side.in(x), side.in(slot), side.in(weight), plus ? side.in(more) : nullptr, side.out(y), rows, cols,
                                top_k, cols + padding});
  Verdict(side.finish())
      .close(y, want, 1e-5f, 2 * rounding<T>)
      .template say<B>(std::string_view(op::name()), shape({rows, top_k, cols}) + (plus ? " + shared" : ""));
}

template <class B, class T> void weigh(int rows, int cols, int padding) {
  using op = kernels::weigh_inputs<T>;
  const auto x = noise<T>(size(rows, cols + padding), 42);
  const auto weight = noise<float>(size(rows, 1), 43);
  std::vector<T> y(size(rows, cols), T(7.0f)), want = y;
  std::vector<float> left = weight, left_want = weight;
  run_on<op, Ref>({}, {x.data(), left_want.data(), want.data(), rows, cols, cols + padding});
  Side<B> side;
  run_on<op, B>(side.stream(), {side.in(x), side.out(left), side.out(y), rows, cols, cols + padding});
  Verdict(side.finish()).same(y, want).same(left, left_want).template say<B>(std::string_view(op::name()), shape({rows, cols}));
}

/// `rows`: of each expert.
template <class B> void expert_linear(const std::vector<int>& rows, int out, int in) {
  using op = kernels::expert_linear<quant::NoAs<bf16>, bf16>;
  using Weight = kernels::ExpertWeight<bf16>;
  const int experts = static_cast<int>(rows.size());
  std::vector<int> first{0};
  for (int n : rows) first.push_back(first.back() + n);
  const int all = first.back();
  const auto x = noise<bf16>(size(all, in), 36);
  const auto w = noise<bf16>(size(experts * out, in), 37, 1 / std::sqrt(static_cast<float>(in)));
  const auto bias = noise<float>(size(experts, out), 38);
  const auto table = [&](const bf16* weights, const float* biases) {
    std::vector<Weight> t;
    for (std::size_t e = 0; e < rows.size(); ++e)
      t.push_back({weights + e * size(out, in), nullptr, e % 3 ? biases + e * size(out, 1) : nullptr});
    return t;
  };
  std::vector<bf16> y(size(all, out), bf16(NAN)), want = y;
  const auto here = table(w.data(), bias.data());
  run_on<op, Ref>({}, {x.data(), nullptr, here.data(), first.data(), want.data(), all, out, in, experts});
  Side<B> side;
  const auto there = table(side.in(w), side.in(bias));
  run_on<op, B>(side.stream(), {side.in(x), nullptr, side.in(there), side.in(first), side.out(y), all, out, in, experts});
  Verdict(side.finish())
      .close(y, want, 3e-5f, 2 * ulp<bf16>)
      .template say<B>(std::string_view(op::name()), shape({all, out, in}) + " of " + std::to_string(experts));
}

template <class B> void float_linear(int rows, int out, int in, int padding, bool with_bias) {
  using op = kernels::linear<quant::NoAs<float>, bf16, float>;
  const int ldx = in + padding, ldy = out + padding;
  const auto x = noise<bf16>(size(rows, ldx), 39);
  const auto w = noise<float>(size(out, in), 40, 1 / std::sqrt(static_cast<float>(in))), bias = noise<float>(size(out, 1), 41);
  std::vector<float> y(size(rows, ldy), -5.0f), want = y;
  run_on<op, Ref>({},
                  {x.data(), nullptr, w.data(), nullptr, with_bias ? bias.data() : nullptr, want.data(), rows, out, in, ldx, ldy});
  Side<B> side;
  run_on<op, B>(side.stream(), {side.in(x), nullptr, side.in(w), nullptr, with_bias ? side.in(bias) : nullptr, side.out(y), rows,
                                out, in, ldx, ldy});
  Verdict(side.finish())
      .close(y, want, 2e-5f, 1e-5f)
      .template say<B>(std::string_view(op::name()), shape({rows, out, in}) + (padding ? " strided" : ""));
}

template <class B> void mixtures() {
  for (int rows : {1, large ? 300 : 6})
    for (bool renormalise : {false, true}) {
      route<B, moe::TopK<moe::Softmax>>(rows, 8, 2, 1, 1, renormalise, 1);
      route<B, moe::TopK<moe::Softmax>>(rows, 128, 8, 1, 1, renormalise, 3);
      route<B, moe::TopK<moe::Softmax>>(rows, 160, 6, 8, 3, renormalise, 1);
      route<B, moe::TopK<moe::Sigmoid>>(rows, 300, 10, 1, 1, renormalise, 1);
      route<B, moe::TopK<moe::SqrtSoftplus>>(rows, 8, 8, 1, 1, renormalise, 4);
      route<B, moe::BiasedTopK<moe::Sigmoid>>(rows, 256, 8, 8, 4, renormalise, 1);
      route<B, moe::BiasedTopK<moe::Sigmoid>>(rows, 6, 2, 6, 3, renormalise, 1);
      route<B, moe::BiasedTopK<moe::SqrtSoftplus>>(rows, 1024, 8, 8, 4, renormalise, 2);
    }
  sort<B>(1, 8, 128);
  sort<B>(0, 2, 3);
  sort<B>(50, 2, 5);
  sort<B>(large ? 4096 : 300, 4, large ? 128 : 9);
  combine<B, bf16>(3, 8, 2048, 0, true);
  combine<B, bf16>(40, 2, 255, 3, false);
  combine<B, float>(7, 4, 513, 1, true);
  combine<B, float>(1, 1, 1, 0, false);
  weigh<B, bf16>(40, 2048, 0);
  weigh<B, float>(3, 255, 1);
  const int out = large ? 1536 : 144, in = large ? 2048 : 96;
  expert_linear<B>({0, 1, 0, 3, 16, 1, 0, 0, 17, 2}, out, in);                    // rows while weights stream
  expert_linear<B>({0, 1, 0, 3, 16, 1, 0, 0, 17, 2}, 50, 77);                     // nothing aligned
  expert_linear<B>({30, 0, 64, 1, 65}, out, in);                                  // tiles of 64
  expert_linear<B>({2, 0, 5}, 40, 104);                                           // the same, for a tail of k
  expert_linear<B>({200, 0, 97, large ? 1000 : 200, 128}, out, in);               // tiles of 128
  expert_linear<B>(std::vector<int>(large ? 128 : 40, 1), large ? 768 : 32, in);  // more experts than lanes
  for (int rows : {1, 16, 17, large ? 300 : 70}) {
    float_linear<B>(rows, large ? 256 : 40, large ? 7168 : 544, 0, false);
    float_linear<B>(rows, 33, 77, 3, true);
    float_linear<B>(rows, 20, 64, 8, true);
  }
}

}  // namespace atom::test
